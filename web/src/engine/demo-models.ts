/** Models of the demo engine: one per kind of input. */

import type { Family, Kind, Layer, MethodFacts, ModelFacts, Preprocess } from "./types";

type Rgb = [number, number, number];

const HUES: [string, Rgb][] = [
  ["red", [212, 40, 36]],
  ["orange", [230, 130, 30]],
  ["yellow", [235, 215, 50]],
  ["green", [80, 150, 60]],
  ["cyan", [60, 190, 200]],
  ["blue", [36, 72, 204]],
  ["violet", [120, 60, 190]],
  ["pink", [235, 130, 180]],
  ["grey", [150, 145, 140]],
];
const SHADES: [string, number][] = [
  ["", 0],
  ["pale ", 0.5],
  ["light ", 0.25],
  ["dark ", -0.3],
  ["deep ", -0.55],
];

/** A label that must stay text. */
export const HOSTILE_LABEL = "<img src=x onerror=alert(1)>";

export interface ColourClass {
  label: string;
  colour: Rgb;
}

export const COLOURS: ColourClass[] = [
  ...SHADES.flatMap(([shade, share]) =>
    HUES.map(([hue, colour]) => ({ label: `${shade}${hue}`, colour: shaded(colour, share) })),
  ),
  { label: HOSTILE_LABEL, colour: [150, 190, 232] },
];

/** The second model knows fewer classes, in another order. */
export const FEWER: ColourClass[] = [...COLOURS.slice(0, 18)].reverse();

function shaded(colour: Rgb, share: number): Rgb {
  const goal = share > 0 ? 255 : 0;
  return colour.map((c) => Math.round(c + (goal - c) * Math.abs(share))) as Rgb;
}

const METHODS: MethodFacts[] = [
  {
    name: "rsp",
    title: "Relative Sectional Propagation",
    paper: "Nam, Choi, Lee 2021",
    note: "",
    compares: true,
    signed: true,
  },
  {
    name: "lrp-epsilon",
    title: "LRP-ε: shares by x·w, stabilised",
    paper: "Bach et al. 2015",
    note: "",
    compares: false,
    signed: true,
  },
  {
    name: "gradient",
    title: "Gradient (saliency)",
    paper: "Simonyan et al. 2014",
    note: "",
    compares: false,
    signed: false,
  },
  {
    name: "grad-cam",
    title: "Grad-CAM",
    paper: "Selvaraju et al. 2017",
    note: "",
    compares: false,
    signed: true,
  },
];

const PREPROCESS: Preprocess = {
  name: "imagenet-torch",
  size: [32, 32],
  channels: "RGB",
  scale: 1 / 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  resize: "crop",
  crop_fraction: 0.875,
  pad_value: 0,
  interpolation: "bilinear",
  source: "guessed",
};

const FAMILIES: Record<string, Family> = {
  Conv: "convolution",
  Relu: "pointwise",
  BatchNormalization: "pointwise",
  MaxPool: "pooling",
  GlobalAveragePool: "pooling",
  Add: "merging",
  Flatten: "shape",
  Gemm: "dense",
};
const NETWORK: [op: string, tensor: string, reads: number[], shape: number[]][] = [
  ["Conv", "conv1", [], [1, 16, 32, 32]],
  ["Relu", "relu1", [0], [1, 16, 32, 32]],
  ["MaxPool", "pool1", [1], [1, 16, 16, 16]],
  ["Conv", "conv2", [2], [1, 32, 16, 16]],
  ["BatchNormalization", "norm2", [3], [1, 32, 16, 16]],
  ["Relu", "relu2", [4], [1, 32, 16, 16]],
  ["Conv", "conv3", [5], [1, 32, 16, 16]],
  ["Add", "add3", [6, 2], [1, 32, 16, 16]],
  ["Relu", "relu3", [7], [1, 32, 16, 16]],
  ["MaxPool", "pool3", [8], [1, 32, 8, 8]],
  ["Conv", "conv4", [9], [1, 64, 8, 8]],
  ["Relu", "relu4", [10], [1, 64, 8, 8]],
  ["GlobalAveragePool", "mean", [11], [1, 64, 1, 1]],
  ["Flatten", "flat", [12], [1, 64]],
  ["Gemm", "logits", [13], [1, 46]],
  ["Softmax", "scores", [14], [1, 46]],
];

function layers(): Layer[] {
  return NETWORK.map(([op, tensor, reads, shape], i) => ({
    tensor,
    op,
    node: `/${tensor}`,
    shape,
    reads,
    where: i < 12 ? "features" : "head",
    hasMap: i < 12,
    family: FAMILIES[op] ?? "other",
  }));
}

const SHAPES: Record<Kind, (number | string)[]> = {
  photo: ["N", 3, 32, 32],
  image: ["N", 1, 40, 60],
  signal: ["N", 2, 200],
  tokens: ["N", 12],
  table: ["N", 9],
  volume: ["N", 1, 12, 24, 24],
  other: ["N", 3, 4, 5],
};

/** Facts of a model; its name says what kind it is, such as `signal.onnx`. */
export function demoModel(id: string, name: string, labels: string[] | null): ModelFacts {
  const kind = (Object.keys(SHAPES) as Kind[]).find((one) => name.startsWith(one)) ?? "photo";
  const isPhoto = kind === "photo";
  return {
    ...{ id, name, kind, labels, bytes: 1_092_216, producer: "demo 1.0" },
    sha256: Array.from({ length: 8 }, (_, i) => hash(`${name}${i}`)).join(""),
    inputs: [{ name: "input", dtype: "float32", shape: SHAPES[kind], explained: true }],
    classes: labels?.length ?? 10,
    labelsSource: labels ? "given" : "",
    scoreKind: labels ? "softmax" : "logits",
    preprocess: isPhoto ? PREPROCESS : null,
    methods: METHODS,
    layers: layers(),
    warnings: isPhoto ? ["The preprocessing is guessed from the shape of the input."] : [],
    refused: null,
  };
}

function hash(text: string): string {
  let value = 2166136261;
  for (const letter of text) value = Math.imul(value ^ letter.charCodeAt(0), 16777619) >>> 0;
  return value.toString(16).padStart(8, "0");
}
