/** An engine that makes its answers up, so that the page can be built and tested without a model. */

import { contributions, cropGeometry, inChannels, mapSide, pooled, softmax, sum, wave } from "./demo-maps";
import { COLOURS, FEWER, demoModel, type ColourClass } from "./demo-models";
import { paintPicture, PICTURES, pngUri, type Pixels } from "./demo-pictures";
import {
  EngineError,
  type Answer,
  type Engine,
  type Explained,
  type ExplainRequest,
  type ImageFacts,
  type ModelFacts,
  type Preprocess,
  type Progress,
  type RelevanceMap,
} from "./types";

export interface DemoOptions {
  /** No model at the start. */
  empty?: boolean;
  /** How a picture is read; by default with the browser. */
  decode?: (blob: Blob) => Promise<Pixels | null>;
  /** Milliseconds that an explanation takes. */
  delay?: number;
}

export class DemoEngine implements Engine {
  readonly abilities = { dropModel: true, changePreprocess: true, allLayers: true };
  readonly says = "A demonstration: the answers are made up here, no model is run.";
  private readonly open = new Map<string, ModelFacts>();
  private readonly images = new Map<string, Pixels | null>();
  private readonly options: DemoOptions;

  constructor(options: DemoOptions = {}) {
    this.options = options;
    if (options.empty) return;
    const labels = [COLOURS, FEWER].map((classes) => classes.map((c) => c.label));
    this.open.set("a", demoModel("a", "colours.onnx", labels[0] ?? null));
    this.open.set("b", demoModel("b", "colours-small.onnx", labels[1] ?? null));
  }

  models(): Promise<ModelFacts[]> {
    return Promise.resolve([...this.open.values()]);
  }

  samples() {
    return Promise.resolve(PICTURES.map((name) => ({ name, url: pngUri(paintPicture(name)) })));
  }

  async addModel(file: File, labels: File | null, onProgress: (p: Progress) => void): Promise<ModelFacts> {
    onProgress({ says: `Reading ${file.name}`, share: 0.3 });
    await pause(this.options.delay ?? 0);
    if (file.name.startsWith("broken")) {
      throw new EngineError(`${file.name} is no ONNX model: it cannot be parsed. Export it again.`);
    }
    const id = `m${this.open.size}`;
    const given = labels ? await linesOf(labels) : null;
    const facts = demoModel(id, file.name, given ?? COLOURS.map((c) => c.label));
    this.open.set(id, facts);
    return facts;
  }

  removeModel(model: string): Promise<void> {
    this.open.delete(model);
    return Promise.resolve();
  }

  async setLabels(model: string, file: File): Promise<ModelFacts> {
    const labels = await linesOf(file);
    const facts = this.find(model);
    if (labels.length !== facts.classes) {
      throw new EngineError(
        `${file.name} has ${labels.length} labels, but the model has ${facts.classes} classes.`,
      );
    }
    return this.keep({ ...facts, labels, labelsSource: file.name });
  }

  setPreprocess(model: string, values: Partial<Preprocess> | string): Promise<ModelFacts> {
    const facts = this.find(model);
    if (!facts.preprocess) return Promise.reject(new EngineError("This input is no photo."));
    const change: Partial<Preprocess> = typeof values === "string" ? { name: values } : values;
    const preprocess = { ...facts.preprocess, ...change, source: "given" };
    return Promise.resolve(this.keep({ ...facts, preprocess, warnings: [] }));
  }

  preview(_model: string, image: string): Promise<ImageData> {
    const pixels = this.images.get(image);
    if (!pixels) return Promise.reject(new EngineError("There is no photo to preview: drop one."));
    const small = new ImageData(mapSide, mapSide);
    const { box } = cropGeometry(pixels);
    for (let i = 0; i < mapSide * mapSide; i += 1) {
      const x = Math.floor(box[0] + ((box[2] - box[0]) * (i % mapSide)) / mapSide);
      const y = Math.floor(box[1] + ((box[3] - box[1]) * Math.floor(i / mapSide)) / mapSide);
      const at = 4 * (y * pixels.width + x);
      small.data.set(pixels.data.subarray(at, at + 4), 4 * i);
    }
    return Promise.resolve(small);
  }

  async addImage(blob: Blob, name: string): Promise<ImageFacts> {
    const isTensor = /\.np[yz]$/.test(name);
    if (!isTensor && blob.type !== "" && !blob.type.startsWith("image/")) {
      throw new EngineError(`${name} is no picture: drop a JPEG, PNG, WebP or a .npy file.`);
    }
    const pixels = isTensor ? null : await (this.options.decode ?? decodeInBrowser)(blob);
    const id = `i${this.images.size}`;
    this.images.set(id, pixels);
    return { id, name, width: pixels?.width ?? 0, height: pixels?.height ?? 0, warnings: [] };
  }

  async explain(request: ExplainRequest, onProgress: (p: Progress) => void, signal: AbortSignal) {
    onProgress({ says: `Compiling ${request.method}`, share: null });
    await pause(this.options.delay ?? 0);
    signal.throwIfAborted();
    const facts = this.find(request.model);
    if (facts.kind !== "photo") return seriesAnswer(facts, request);
    const pixels = this.images.get(request.image) ?? paintPicture("grey", 64, 64);
    return photoAnswer(facts, pixels, request);
  }

  private find(model: string): ModelFacts {
    const facts = this.open.get(model);
    if (!facts) throw new EngineError(`There is no model ${model}: drop it again.`);
    return facts;
  }

  private keep(facts: ModelFacts): ModelFacts {
    this.open.set(facts.id, facts);
    return facts;
  }
}

function classesOf(facts: ModelFacts): ColourClass[] {
  const known = facts.classes === FEWER.length ? FEWER : COLOURS;
  return Array.from({ length: facts.classes }, (_, i) => known[i % known.length] ?? FEWER[0]).filter(
    (one): one is ColourClass => one !== undefined,
  );
}

function photoAnswer(facts: ModelFacts, pixels: Pixels, request: ExplainRequest): Answer {
  const parts = contributions(pixels, classesOf(facts));
  const scores = Float32Array.from(parts, sum);
  const targets = request.targets === "auto" ? [scores.indexOf(Math.max(...scores))] : request.targets;
  const explained = targets.map((target) => photoExplained(facts, parts, target, request));
  return answerOf(facts, scores, explained, request, cropGeometry(pixels));
}

function photoExplained(facts: ModelFacts, parts: Float32Array[], target: number, request: ExplainRequest) {
  const own = parts[target] ?? new Float32Array(mapSide ** 2);
  const rivals = request.hostile.map((index) => parts[index] ?? own);
  const map = own.map((value, i) => {
    const theirs = rivals.reduce((total, rival) => total + (rival[i] ?? 0), 0) / (rivals.length || 1);
    return ofMethod(request.method, value - theirs);
  });
  const sides = new Map(facts.layers.map((l) => [l.tensor, Number(l.shape[2] ?? 1)]));
  const layers = request.tensors.map((tensor) => [tensor, pooled(map, sides.get(tensor) ?? 1)] as const);
  return {
    target,
    hostile: request.hostile,
    heatmap: { shape: [mapSide, mapSide], values: map },
    relevance: inChannels(map),
    input: null,
    layers: Object.fromEntries(layers) as Record<string, RelevanceMap>,
    ledger: request.ledger
      ? facts.layers.map((l, i) => ({ tensor: l.tensor, sum: sum(map) * 1.03 ** i }))
      : [],
    warnings: [],
  };
}

function ofMethod(method: string, value: number): number {
  if (method === "gradient") return Math.abs(value);
  return method === "grad-cam" ? Math.max(value, 0) : value;
}

function seriesAnswer(facts: ModelFacts, request: ExplainRequest): Answer {
  const shape = (facts.inputs[0]?.shape ?? []).slice(1).map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  const scores = wave(facts.classes, 1);
  const targets = request.targets === "auto" ? [scores.indexOf(Math.max(...scores))] : request.targets;
  const isTokens = facts.kind === "tokens";
  const input = wave(count, 0.2).map((v, i) => (isTokens ? 100 + 37 * i : v));
  const explained = targets.map((target) => {
    const relevance = { shape, values: wave(count, target) };
    const flat = shape.length > 2 && shape[0] === 1 ? shape.slice(1) : shape;
    const heatmap = { shape: flat, values: relevance.values };
    const hostile = request.hostile;
    return {
      target,
      hostile,
      heatmap,
      relevance,
      input: { shape, values: input },
      layers: {},
      ledger: [],
      warnings: [],
    };
  });
  return answerOf(facts, scores, explained, request, null);
}

function answerOf(
  facts: ModelFacts,
  scores: Float32Array,
  explained: Explained[],
  request: ExplainRequest,
  geometry: Answer["geometry"],
): Answer {
  const probabilities = facts.scoreKind === "softmax" ? softmax(scores) : null;
  return {
    scores,
    probabilities,
    explained,
    geometry,
    method: request.method,
    provider: "made up",
    milliseconds: 1,
  };
}

async function decodeInBrowser(blob: Blob): Promise<Pixels | null> {
  try {
    const bitmap = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const pen = canvas.getContext("2d");
    if (!pen) return null;
    pen.drawImage(bitmap, 0, 0);
    return pen.getImageData(0, 0, bitmap.width, bitmap.height);
  } catch {
    throw new EngineError("This is no picture that can be read: drop a JPEG, PNG or WebP.");
  }
}

async function linesOf(file: File): Promise<string[]> {
  return (await file.text()).split("\n").filter((line) => line.trim() !== "");
}

function pause(milliseconds: number): Promise<void> {
  return milliseconds ? new Promise((resolve) => setTimeout(resolve, milliseconds)) : Promise.resolve();
}

export function openEngine(): Promise<Engine> {
  return Promise.resolve(new DemoEngine({ delay: 120 }));
}
