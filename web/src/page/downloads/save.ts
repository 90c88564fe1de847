/** What is shown, as files. */

import type { Answer } from "../../engine/types";
import { backdropOf, backdropOfInput } from "../stage/backdrop";
import { drawScene } from "../stage/paint-scene";
import { drawingOf, linesOf, sceneOf, sliceOf } from "../stage/scene";
import { limitOfAll, readyPanels, type Ready } from "../stage/stage";
import { endsOf, nameOf, namesOf, rankOf, valueWords } from "../state/classes";
import { canvasOf } from "../state/picture";
import { MOST_BYTES, toJson, uriOf } from "../state/saved";
import type { Store } from "../state/store";
import { figureOf, type Figure, type FigurePanel } from "./figure";
import { npz, type Array_ } from "./npy";

const SIDE = 960; // pixels of a panel's width

export function figureOfPage(store: Store): Figure {
  const ready = readyPanels(store);
  const limit = limitOfAll(store, ready);
  const first = ready[0];
  const target = first ? nameOf(first.panel.model, first.shown.explained.target) : "nothing";
  const rivals = first ? namesOf(first.panel.model, first.shown.explained.hostile) : "";
  const { image, view } = store;
  const head = {
    title: rivals === "" ? target : `${target} against ${rivals}`,
    lines: [...new Set(ready.map(modelLine)), image?.source.name ?? ""].filter(Boolean),
    limit,
    palette: view.palette,
  };
  return figureOf(
    head,
    ready.map((one) => panelOf(store, one, limit)),
  );
}

function modelLine({ panel }: Ready): string {
  const { name, sha256 } = panel.model;
  return `${name}, sha256 ${sha256.slice(0, 12)}, ${panel.request.method}`;
}

function panelOf(store: Store, { panel, shown }: Ready, limit: number): FigurePanel {
  const { explained, answer } = shown;
  const method = panel.model.methods.find(({ name }) => name === panel.request.method);
  const target = nameOf(panel.model, explained.target);
  const depth =
    drawingOf(panel.model.kind, explained) === "volume" ? (explained.heatmap.shape.at(-3) ?? 1) : 0;
  const slice = depth > 0 ? `, slice ${Math.min(store.view.slice, depth - 1) + 1} of ${depth}` : "";
  const title = panel.title === "the predicted class" ? target : panel.title;
  const rank = `rank ${rankOf(answer.scores, explained.target)} of ${answer.scores.length}`;
  return {
    title,
    line: `${title === target ? "" : `${target}: `}${valueWords(answer, explained.target)}, ${rank}${slice}`,
    ends: endsOf(method, target, namesOf(panel.model, explained.hostile)),
    canvas: canvasOfPanel(store, { panel, shown }, limit),
    rows: rowsOf({ panel, shown }),
  };
}

function canvasOfPanel(store: Store, { panel, shown }: Ready, limit: number): HTMLCanvasElement | null {
  const { explained, answer } = shown;
  const drawing = drawingOf(panel.model.kind, explained);
  if (drawing !== "picture" && drawing !== "volume") return null;
  const isVolume = drawing === "volume";
  const map = isVolume ? sliceOf(explained.heatmap, store.view.slice) : explained.heatmap;
  const scene = sceneOf(map, isVolume ? null : answer.geometry);
  const input = explained.input && isVolume ? sliceOf(explained.input, store.view.slice) : explained.input;
  const picture = store.edited?.id === panel.request.image ? store.edited.picture : store.image?.picture;
  const [rows, columns] = scene.geometry.original;
  const made = canvasOf(SIDE, Math.max(1, Math.round((SIDE * rows) / columns)));
  if (!made) return null;
  drawScene(made[1], scene, input ? backdropOfInput(input) : backdropOf(picture ?? null), store.view, limit);
  return made[0];
}

function rowsOf({ panel, shown: { explained } }: Ready): Float32Array[] {
  if (drawingOf(panel.model.kind, explained) !== "lines") return [explained.heatmap.values];
  const lines = linesOf(explained) ?? explained.heatmap;
  const length = lines.shape.at(-1) ?? lines.values.length;
  return Array.from({ length: lines.values.length / length }, (_, i) =>
    lines.values.subarray(i * length, (i + 1) * length),
  );
}

/** Arrays of all panels; with several, numbered in their order. */
export function arraysOf(ready: Ready[]): Record<string, Array_> {
  const arrays: Record<string, Array_> = {};
  ready.forEach(({ shown: { answer, explained } }, i) => {
    const end = ready.length > 1 ? `_${i}` : "";
    arrays[`relevance${end}`] = explained.relevance;
    arrays[`heatmap${end}`] = explained.heatmap;
    arrays[`scores${end}`] = scoresOf(answer);
  });
  return arrays;
}

/** The chosen layer's map; a tensor's name may hold anything, an array's in a zip may not. */
function layersOf(store: Store): Record<string, Array_> {
  const answer = store.layerRequest ? store.answers.answer(store.layerRequest) : null;
  const maps = Object.entries(answer?.explained[0]?.layers ?? {});
  return Object.fromEntries(maps.map(([tensor, map]) => [`layer_${tensor.replace(/[^\w.-]+/g, "_")}`, map]));
}

function scoresOf({ scores }: Answer): Array_ {
  return { shape: [scores.length], values: scores };
}

export function npzOfPage(store: Store): Blob {
  return new Blob([npz({ ...arraysOf(readyPanels(store)), ...layersOf(store) })], {
    type: "application/zip",
  });
}

/** The view with the picture, where that is small; says whether it is in the file. */
export async function jsonOfPage(store: Store): Promise<{ blob: Blob; hasImage: boolean }> {
  const { image } = store;
  const small = image !== null && image.blob.size <= MOST_BYTES;
  const saved = small ? { name: image.source.name, uri: await uriOf(image.blob) } : null;
  return {
    blob: new Blob([toJson(store.link, saved)], { type: "application/json" }),
    hasImage: small || image === null,
  };
}

/** Name of a file, from the picture and the class. */
export function fileName(store: Store, end: string): string {
  const first = readyPanels(store)[0];
  const words = [store.image?.source.name ?? "view", first ? `class-${first.shown.explained.target}` : ""];
  const safe = words
    .filter(Boolean)
    .join("-")
    .replace(/\.[a-z]+$|\.[a-z]+(?=-class)/gi, "")
    .replace(/[^\w-]+/g, "-");
  return `${safe}.${end}`;
}
