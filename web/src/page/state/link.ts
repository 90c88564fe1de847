/** A view as the `#` of an address and as JSON, and back. Whatever cannot be read is said in a sentence. */

import type { ModelFacts } from "../../engine/types";
import { MOST_PANELS, reduce, START, type Comparison, type Mode, type View } from "./view";

/** Where the picture came from, which is all that a link says of it. */
export type Source = { kind: "sample"; name: string } | { kind: "dropped"; name: string };

export interface Restored {
  view: View;
  source: Source | null;
  /** Sentences: what is missing or could not be read. */
  says: string[];
}

const MODES: Mode[] = ["overlay", "map", "contours", "photo"];
const COMPARISONS: Comparison[] = ["classes", "methods", "models"]; // what was painted is in no link
const VERSION = "1";
const TOKEN = "token"; // of a server's address: it opens the server, and is no part of a view
const SHORT = 12; // digits of the sha256

/** The `#...` of a view; settings as they are at the start are left out. */
export function toLink(view: View, models: ModelFacts[], source: Source | null): string {
  const said = new URLSearchParams({ v: VERSION });
  const put = (name: string, value: string | number | null, standard: string | number | null = null) => {
    if (value !== standard && value !== null && value !== "") said.set(name, String(value));
  };
  put("model", modelWords(models, view.model));
  put("other", view.comparison === "models" ? modelWords(models, view.other) : null);
  put("image", source ? `${source.kind}:${source.name}` : null);
  put("method", view.method, START.method);
  put("methods", view.methods.join(","));
  put("targets", view.targets.join(","));
  put("rivals", view.rivals.join(","));
  put("beside", view.comparison === "brush" ? START.comparison : view.comparison, START.comparison);
  put("mode", view.mode, START.mode);
  put("opacity", view.opacity, START.opacity);
  put("threshold", view.threshold, START.threshold);
  put("palette", view.palette, START.palette);
  put("limit", view.locked);
  put("zoom", view.zoom.scale > 1 ? [view.zoom.scale, view.zoom.x, view.zoom.y].map(short).join(",") : null);
  put("layer", view.layer);
  put("slice", view.slice, START.slice);
  return `#${said.toString()}`;
}

/** The address of a view for others: without the token that opened the server. */
export function shareable(address: string, link: string): string {
  const url = new URL(address);
  url.searchParams.delete(TOKEN);
  url.hash = link;
  return url.href;
}

/** The address of a view in this browser: a token stays, so that the page can be loaded again. */
export function ownHash(hash: string, link: string): string {
  const token = new URLSearchParams(hash.replace(/^#/, "")).get(TOKEN);
  return token === null ? link : `${link}&${TOKEN}=${encodeURIComponent(token)}`;
}

function short(value: number): string {
  return String(Number(value.toFixed(4)));
}

function modelWords(models: ModelFacts[], id: string | null): string | null {
  const found = models.find((model) => model.id === id);
  return found ? `${found.sha256.slice(0, SHORT)}:${found.name}` : null;
}

/** Read a link; null where the address has none. */
export function fromLink(hash: string, models: ModelFacts[]): Restored | null {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  said.delete(TOKEN);
  if (said.size === 0) return null;
  if (said.get("v") !== VERSION) {
    const says = "The link is of another version of this page, or broken: choose model and picture anew.";
    return { view: START, source: null, says: [says] };
  }
  return new Reader(said, models).read();
}

class Reader {
  private readonly says: string[] = [];
  private readonly said: URLSearchParams;
  private readonly models: ModelFacts[];

  constructor(said: URLSearchParams, models: ModelFacts[]) {
    this.said = said;
    this.models = models;
  }

  read(): Restored {
    const model = this.model("model");
    const other = this.model("other");
    const base: View = {
      ...START,
      model: model?.id ?? null,
      other: other?.id ?? null,
      mode: this.oneOf("mode", MODES, START.mode),
      palette: this.oneOf("palette", ["red-blue", "blue-orange"] as const, START.palette),
      opacity: this.number("opacity", START.opacity, 0, 1),
      threshold: this.number("threshold", START.threshold, 0, 1),
      locked: this.said.has("limit") ? this.number("limit", null, Number.MIN_VALUE, Infinity) : null,
      slice: this.number("slice", START.slice, 0, Infinity),
    };
    const view = model ? this.ofModel(base, model) : base;
    return { view: this.zoomed(view), source: this.source(), says: this.says };
  }

  private ofModel(view: View, model: ModelFacts): View {
    const names = model.methods.map(({ name }) => name);
    const comparison = this.oneOf("beside", COMPARISONS, START.comparison);
    const layer = this.said.get("layer");
    const knows = layer !== null && model.layers.some(({ tensor }) => tensor === layer);
    if (layer !== null && !knows)
      this.says.push(`The link names the layer ${layer}, which the model has not.`);
    const targets = this.classes("targets", model.classes).slice(0, MOST_PANELS);
    return {
      ...view,
      method: this.oneOf("method", names, names[0] ?? START.method),
      methods: this.list("methods", names),
      targets,
      rivals: this.classes("rivals", model.classes).filter((index) => !targets.includes(index)),
      comparison: comparison === "models" && view.other === null ? START.comparison : comparison,
      layer: knows ? layer : null,
    };
  }

  private model(key: string): ModelFacts | null {
    const [sha = "", ...name] = (this.said.get(key) ?? "").split(":");
    if (sha === "") return null;
    const found = this.models.find((model) => model.sha256.startsWith(sha));
    if (!found) {
      this.says.push(`The link is about the model ${name.join(":")} (sha256 ${sha}…): drop its file here.`);
    }
    return found ?? null;
  }

  private source(): Source | null {
    const [kind, ...rest] = (this.said.get("image") ?? "").split(":");
    const name = rest.join(":");
    if (name === "" || (kind !== "sample" && kind !== "dropped")) return null;
    if (kind === "dropped") {
      this.says.push(`A link holds no picture: drop ${name} again to see what was seen.`);
    }
    return { kind, name };
  }

  private oneOf<T extends string>(key: string, all: readonly T[], standard: T): T {
    const value = this.said.get(key);
    if (value === null) return all.includes(standard) ? standard : (all[0] ?? standard);
    const found = all.find((one) => one === value);
    if (found === undefined)
      this.says.push(`The link's ${key} “${value}” is not known; ${standard} is shown.`);
    return found ?? standard;
  }

  private list(key: string, all: string[]): string[] {
    const names = (this.said.get(key) ?? "").split(",").filter(Boolean);
    const unknown = names.filter((name) => !all.includes(name));
    if (unknown.length > 0) this.says.push(`The link's ${key} ${unknown.join(", ")} are not known here.`);
    return names.filter((name) => all.includes(name)).slice(0, MOST_PANELS);
  }

  private classes(key: string, count: number): number[] {
    const words = (this.said.get(key) ?? "").split(",").filter(Boolean);
    const good = words.map(Number).filter((n) => Number.isInteger(n) && n >= 0 && n < count);
    if (good.length < words.length) {
      this.says.push(`Some of the link's ${key} are no classes of the model, which has ${count}.`);
    }
    return [...new Set(good)];
  }

  private number<T extends number | null>(key: string, standard: T, low: number, high: number): T | number {
    const text = this.said.get(key);
    if (text === null) return standard;
    const value = text.trim() === "" ? NaN : Number(text);
    if (value >= low && value <= high) return value;
    this.says.push(`The link's ${key} “${text}” is no number that fits; the usual one is taken.`);
    return standard;
  }

  private zoomed(view: View): View {
    const text = this.said.get("zoom");
    if (text === null) return view;
    const [scale = NaN, x = NaN, y = NaN] = text.split(",").map(Number);
    if ([scale, x, y].every(Number.isFinite)) return reduce(view, { type: "zoom", zoom: { scale, x, y } });
    this.says.push("The link's zoom cannot be read; the whole picture is shown.");
    return view;
  }
}
