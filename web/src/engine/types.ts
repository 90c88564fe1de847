/** What the page asks of an engine, and what it gets back: the same whether a server or the browser computes. */

/** How a photograph becomes a tensor: x = (pixel * scale - mean) / std, pixel in 0..255. As Python's `Preprocess`. */
export interface Preprocess {
  name: string;
  /** [height, width]; null takes the model's own. */
  size: [number, number] | null;
  channels: "RGB" | "BGR" | "L" | "RGBA" | null;
  scale: number;
  mean: number[];
  std: number[];
  resize: "stretch" | "crop" | "pad";
  crop_fraction: number;
  pad_value: number;
  interpolation: "bilinear" | "bicubic" | "nearest" | "lanczos" | "box";
  /** Where it came from: "file", "metadata", "guessed", "given". */
  source: string;
}

/** Where a tensor's pixels lie in the photograph; sizes are [height, width], the box left, top, right, bottom. */
export interface Geometry {
  original: [number, number];
  tensor: [number, number];
  box: [number, number, number, number];
}

export interface InputFacts {
  name: string;
  dtype: string;
  /** A word where the model leaves the size free. */
  shape: (number | string | null)[];
  explained: boolean;
}

export interface MethodFacts {
  name: string;
  title: string;
  paper: string;
  note: string;
  /** It holds the target against rivals; the others know none. */
  compares: boolean;
  /** Its sign says for or against. */
  signed: boolean;
}

/** What an op does in a network; the server knows it of every op. */
export type Family = "convolution" | "dense" | "pooling" | "merging" | "pointwise" | "shape" | "other";

/** A node of the network's picture. */
export interface Layer {
  /** The tensor it makes, which names the layer. */
  tensor: string;
  op: string;
  node: string;
  shape: (number | string | null)[];
  /** Indices, in the same list, of the layers it reads. */
  reads: number[];
  where: "features" | "head" | "beside";
  /** Relevance passes it, so that there is a map of it. */
  hasMap: boolean;
  family: Family;
}

/** What the input is, which decides how it and its map are drawn. */
export type Kind = "photo" | "image" | "signal" | "tokens" | "table" | "volume" | "other";

export interface ModelFacts {
  /** The engine's name of it, good for a URL. */
  id: string;
  /** The file's name. */
  name: string;
  sha256: string;
  bytes: number;
  producer: string;
  kind: Kind;
  inputs: InputFacts[];
  classes: number;
  /** One per class; null where there are none. */
  labels: string[] | null;
  labelsSource: string;
  scoreKind: "softmax" | "log-softmax" | "sigmoid" | "logits" | "";
  /** null where the input is no photo. */
  preprocess: Preprocess | null;
  methods: MethodFacts[];
  layers: Layer[];
  /** Sentences: inputs left out, what was guessed. */
  warnings: string[];
  /** Whether rsp has a rule for everything; where it has not, the sentence that says so. */
  refused: string | null;
}

/** A picture the engine can explain, by the name `addImage` gave it. */
export interface ImageFacts {
  id: string;
  name: string;
  /** Of the upright photo; 0 where it is a tensor (.npy, .npz). */
  width: number;
  height: number;
  /** Sentences: transparency, several frames, 16 bits. */
  warnings: string[];
}

export interface ExplainRequest {
  model: string;
  image: string;
  method: string;
  /** Class indices; "auto" is the class with the highest score. */
  targets: number[] | "auto";
  /** Rivals of every target; empty: none. */
  hostile: number[];
  /** Tensors whose maps are wanted too, at most a few dozen. */
  tensors: string[];
  /** The relevance sum of every layer too. */
  ledger: boolean;
}

/** A map with its size; for a layer the sum over its channels. */
export interface RelevanceMap {
  /** [height, width], or [length]. */
  shape: number[];
  values: Float32Array;
}

/** One target's explanation. */
export interface Explained {
  target: number;
  hostile: number[];
  /** Of the input, summed over its channels, in the tensor's pixels; `geometry` lays it on the photo. */
  heatmap: RelevanceMap;
  /** Of the input as it is: [channels, height, width] for photos. */
  relevance: RelevanceMap;
  /** The input as the model was given it, where it is no photo; null for photos. */
  input: RelevanceMap | null;
  /** By tensor asked for. */
  layers: Record<string, RelevanceMap>;
  ledger: { tensor: string; sum: number }[];
  warnings: string[];
}

export interface Answer {
  /** The model's own scores of every class. */
  scores: Float32Array;
  /** The same as probabilities; null where nothing says what the scores are. */
  probabilities: Float32Array | null;
  explained: Explained[];
  geometry: Geometry | null;
  method: string;
  /** What computed it: CPUExecutionProvider, CUDAExecutionProvider, "WASM, 1 thread", WebGPU. */
  provider: string;
  /** Of this answer alone, compiling aside. */
  milliseconds: number;
}

/** Where a long step is; share is 0 to 1, or null where nobody knows. */
export interface Progress {
  says: string;
  share: number | null;
}

export interface Sample {
  name: string;
  /** Address of a picture to show in the list, of this host, a blob or a data URI. */
  url: string;
  /** The picture itself where `url` is a smaller one. */
  open?: () => Promise<Blob>;
}

/** What an engine offers; the page shows no button for what is false. */
export interface Abilities {
  dropModel: boolean;
  changePreprocess: boolean;
  allLayers: boolean;
}

export interface Engine {
  readonly abilities: Abilities;
  /** One line for the foot of the page: where it computes. */
  readonly says: string;
  models(): Promise<ModelFacts[]>;
  samples(): Promise<Sample[]>;
  addModel(file: File, labels: File | null, onProgress: (p: Progress) => void): Promise<ModelFacts>;
  removeModel(model: string): Promise<void>;
  setLabels(model: string, file: File): Promise<ModelFacts>;
  setPreprocess(model: string, values: Partial<Preprocess> | string): Promise<ModelFacts>;
  /** The picture as the model gets it, for a preview: RGBA of its pixels, cropped and resized. */
  preview(model: string, image: string): Promise<ImageData>;
  addImage(blob: Blob, name: string): Promise<ImageFacts>;
  explain(request: ExplainRequest, onProgress: (p: Progress) => void, signal: AbortSignal): Promise<Answer>;
}

/** An error whose message is the sentence to show, the same as the command line's. */
export class EngineError extends Error {
  override name = "EngineError";
}
