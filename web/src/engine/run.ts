/** One answer of a compiled explainer in the browser: target after target through one session. */

import type { Tensor } from "onnxruntime-web";

import type { Prepared, Wanted } from "../preprocess/tensor";
import { probabilitiesOf } from "./scores";
import type { Running } from "./sessions";
import {
  EngineError,
  type Answer,
  type Explained,
  type ExplainRequest,
  type ModelFacts,
  type RelevanceMap,
} from "./types";

/** What a compiled file's inputs and outputs are called. */
export interface Names {
  input: string;
  scores: string;
  /** The heatmap's axes are those of the input without batch and channels. */
  wanted: Wanted;
}

const OF_TENSOR = "relevance/";

/** Explain every target asked for; the scores come with the first. */
export async function answer(
  running: Running,
  names: Names,
  facts: ModelFacts,
  prepared: Prepared,
  request: ExplainRequest,
  signal: AbortSignal,
): Promise<Omit<Answer, "milliseconds">> {
  const targets = request.targets === "auto" ? [-1] : request.targets;
  const explained: Explained[] = [];
  let scores: Float32Array = new Float32Array(0);
  for (const target of targets) {
    signal.throwIfAborted();
    const found = await running.session.run(feedsOf(running, names, prepared, target, request.hostile));
    scores = valuesOf(found, names.scores);
    const meant = target < 0 ? scores.indexOf(Math.max(...scores)) : target;
    explained.push(explainedOf(found, names.wanted, meant, request));
  }
  return {
    scores,
    probabilities: probabilitiesOf(scores, facts.scoreKind),
    explained,
    geometry: prepared.geometry,
    method: request.method,
    provider: running.says,
  };
}

function feedsOf(
  { session, makeTensor }: Running,
  names: Names,
  prepared: Prepared,
  target: number,
  hostile: number[],
): Record<string, Tensor> {
  const { height, width, channels, layout, dtype } = names.wanted;
  const sizes = {
    NCHW: [1, channels, height, width],
    NHWC: [1, height, width, channels],
    NHW: [1, height, width],
  };
  const feeds = {
    [names.input]: makeTensor(dtype, prepared.tensor, sizes[layout]),
    target: makeTensor("int64", BigInt64Array.of(BigInt(target)), [1, 1]),
  };
  if (!session.inputNames.includes("hostile")) return feeds;
  const rivals = BigInt64Array.from(hostile, BigInt);
  return { ...feeds, hostile: makeTensor("int64", rivals, [1, 1, hostile.length]) };
}

function valuesOf(found: Record<string, Tensor>, name: string): Float32Array {
  const tensor = found[name];
  if (!tensor) throw new EngineError(`The compiled file has no output ${name}.`);
  return Float32Array.from(tensor.data as Float32Array);
}

function explainedOf(
  found: Record<string, Tensor>,
  wanted: Wanted,
  target: number,
  request: ExplainRequest,
): Explained {
  const relevance = channelsFirst(found.relevance, wanted);
  const layers = Object.fromEntries(
    request.tensors.map((tensor) => [tensor, layerMap(found[OF_TENSOR + tensor], tensor)] as const),
  );
  const heatmap = summedOverChannels(relevance);
  return {
    target,
    hostile: request.hostile,
    heatmap,
    relevance,
    input: null,
    layers,
    ledger: request.ledger ? ledgerOf(found) : [],
    warnings: heatmap.values.some((v) => v !== 0) ? [] : ["the relevance is zero everywhere"],
  };
}

/** Relevance of the input as [channels, height, width], whatever the model's layout. */
function channelsFirst(
  tensor: Tensor | undefined,
  { layout, channels, height, width }: Wanted,
): RelevanceMap {
  if (!tensor) throw new EngineError("The compiled file has no output relevance.");
  const values = Float32Array.from(tensor.data as Float32Array);
  if (layout !== "NHWC") return { shape: [channels, height, width], values };
  const turned = new Float32Array(values.length);
  const count = height * width;
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < channels; c++) turned[c * count + i] = values[i * channels + c] ?? 0;
  }
  return { shape: [channels, height, width], values: turned };
}

/** A layer's map: the compiled file sums over channels where it knows which axis they are; else the first of three. */
function layerMap(tensor: Tensor | undefined, name: string): RelevanceMap {
  if (!tensor) throw new EngineError(`This page has no map of the layer ${name}.`);
  const shape = tensor.dims.slice(2); // without targets and batch
  const map = { shape: [...shape], values: Float32Array.from(tensor.data as Float32Array) };
  return shape.length > 2 ? summedOverChannels(map) : map;
}

export function summedOverChannels({ shape, values }: RelevanceMap): RelevanceMap {
  const [channels = 1, ...places] = shape.length > 1 ? shape : [1, ...shape];
  const count = places.reduce((product, n) => product * n, 1);
  const sums = new Float64Array(count);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < count; i++) sums[i] = (sums[i] ?? 0) + (values[c * count + i] ?? 0);
  }
  return { shape: places, values: Float32Array.from(sums) };
}

function ledgerOf(found: Record<string, Tensor>): Explained["ledger"] {
  return Object.entries(found)
    .filter(([name]) => name.startsWith(OF_TENSOR))
    .map(([name, tensor]) => ({
      tensor: name.slice(OF_TENSOR.length),
      sum: (tensor.data as Float32Array).reduce((total, v) => total + v, 0),
    }));
}
