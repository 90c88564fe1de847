/** The engine of a folder that `rsp-onnx page` wrote: the browser computes, and no picture leaves it. */

import { problemOf } from "../preprocess/problem";
import type { Pixels } from "../preprocess/resample";
import { prepare, type Prepared } from "../preprocess/tensor";
import { decode } from "./decode";
import { Gpu } from "./gpu";
import { readLabels } from "./labels";
import { answer, type Names } from "./run";
import { GPU, runtime, start, wasmSays, type Running } from "./sessions";
import {
  EngineError,
  type Abilities,
  type Answer,
  type Engine,
  type ExplainRequest,
  type ImageFacts,
  type ModelFacts,
  type Preprocess,
  type Progress,
  type Sample,
} from "./types";

/** One model of `page.json`. */
interface PageModel extends Names {
  facts: ModelFacts;
  /** By method, addresses of the compiled explainers: of the map alone, and of every layer with it. */
  files: Record<string, { map: string; layers: string | null }>;
}

interface PageFile {
  version: string;
  models: PageModel[];
  /** By name, as Python has them. */
  presets: Record<string, Preprocess>;
  samples: Sample[];
}

interface Held {
  facts: ImageFacts;
  pixels: Pixels;
}

const IMAGES_HELD = 8; // the page sends one a stroke of the brush

/** Read what the page was written with. */
export async function openEngine(): Promise<Engine> {
  const answer = await fetch("page.json").catch(() => null);
  if (!answer?.ok) {
    throw new EngineError(
      "page.json is not there: open this folder through a web server, such as python -m http.server.",
    );
  }
  return new BrowserEngine((await answer.json()) as PageFile);
}

class BrowserEngine implements Engine {
  readonly abilities: Abilities = {
    dropModel: false,
    changePreprocess: true,
    allLayers: true,
  };
  readonly says = `Computed in this browser (${wasmSays()}); no picture leaves it.`;
  private readonly images = new Map<string, Held>();
  private readonly sessions = new Map<string, Promise<Running>>();
  private readonly gpu = new Gpu();
  private added = 0;

  constructor(private readonly page: PageFile) {
    this.warm().catch(() => undefined); // who asks for a map is told
  }

  /** Load the runtime and the first model while the reader looks for a picture. */
  private async warm(): Promise<void> {
    await runtime();
    const [first] = this.page.models;
    const [files] = Object.values(first?.files ?? {});
    if (files) await this.session(files.map);
  }

  models(): Promise<ModelFacts[]> {
    return Promise.resolve(this.page.models.map(({ facts }) => facts));
  }

  samples(): Promise<Sample[]> {
    return Promise.resolve(this.page.samples);
  }

  addModel(): Promise<ModelFacts> {
    return Promise.reject(
      new EngineError("This page was written for its models; rsp-onnx serve takes others."),
    );
  }

  removeModel(model: string): Promise<void> {
    this.page.models = this.page.models.filter(({ facts }) => facts.id !== model);
    return Promise.resolve();
  }

  async setLabels(model: string, file: File): Promise<ModelFacts> {
    const { facts } = this.find(model);
    const labels = readLabels(await file.text(), file.name, facts.classes);
    return Object.assign(facts, { labels, labelsSource: file.name });
  }

  setPreprocess(model: string, values: Partial<Preprocess> | string): Promise<ModelFacts> {
    const { facts, wanted } = this.find(model);
    const own = facts.preprocess;
    if (own === null) return Promise.reject(new EngineError("The model's input is no photo."));
    const given = typeof values === "string" ? this.page.presets[values] : values;
    if (!given) return Promise.reject(new EngineError(`There is no preset of that name.`));
    const next: Preprocess = { ...own, ...given, source: "given" };
    const problem = problemOf(next, wanted);
    if (problem !== null) return Promise.reject(new EngineError(problem));
    facts.preprocess = next;
    return Promise.resolve({ ...facts });
  }

  preview(model: string, image: string): Promise<ImageData> {
    const found = this.find(model);
    const { seen } = this.prepared(found, image);
    return Promise.resolve(asImage(seen, found.facts.preprocess?.channels === "BGR"));
  }

  async addImage(blob: Blob, name: string): Promise<ImageFacts> {
    const { pixels, warnings } = await decode(blob, name);
    const id = String((this.added += 1));
    const facts = { id, name, width: pixels.width, height: pixels.height, warnings };
    this.images.set(id, { facts, pixels });
    const [oldest] = this.images.keys();
    if (this.images.size > IMAGES_HELD && oldest !== undefined) this.images.delete(oldest);
    return facts;
  }

  async explain(
    request: ExplainRequest,
    onProgress: (p: Progress) => void,
    signal: AbortSignal,
  ): Promise<Answer> {
    const model = this.find(request.model);
    const files = model.files[request.method];
    if (!files) throw new EngineError(`This page was written without the method ${request.method}.`);
    const wantsLayers = request.ledger || request.tensors.length > 0;
    if (wantsLayers && files.layers === null) throw new EngineError("This page was written without layers.");
    const address = wantsLayers && files.layers !== null ? files.layers : files.map;
    if (!this.sessions.has(address)) onProgress({ says: "starting the model", share: null });
    const running = this.gpu.of(address) ?? (await this.session(address));
    signal.throwIfAborted();
    const begun = performance.now();
    const prepared = this.prepared(model, request.image);
    const ask = (on: Running) => answer(on, model, model.facts, prepared, request, signal);
    const found = { ...(await ask(running)), milliseconds: performance.now() - begun };
    if (running.says !== GPU) void this.gpu.judge(address, ask, found);
    return found;
  }

  private find(model: string): PageModel {
    const found = this.page.models.find(({ facts }) => facts.id === model);
    if (!found) throw new EngineError(`There is no model ${model} on this page.`);
    return found;
  }

  private prepared(model: PageModel, image: string): Prepared {
    const held = this.images.get(image);
    if (!held) throw new EngineError("The picture is no longer held: drop it again.");
    if (!model.facts.preprocess)
      throw new EngineError("The model's input is no photo; rsp-onnx serve takes tensors.");
    return prepare(held.pixels, model.wanted, model.facts.preprocess);
  }

  /** One session per file, started once; one that fails is tried again the next time. */
  private session(address: string): Promise<Running> {
    const running = this.sessions.get(address) ?? start(address);
    this.sessions.set(address, running);
    running.catch(() => this.sessions.delete(address));
    return running;
  }
}

/** What the model sees, as RGBA. */
function asImage({ width, height, channels, bytes }: Pixels, isBgr: boolean): ImageData {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      data[4 * i + c] = bytes[i * channels + (channels === 1 ? 0 : isBgr ? 2 - c : c)] ?? 0;
    }
  }
  return new ImageData(data, width, height);
}
