/** Where the tensor's pixels lie in the photograph: Python's `Geometry`, with its integers and its rounding. */

import type { Geometry, Preprocess } from "../engine/types";

type Size = [number, number]; // [height, width]

/** Lay a tensor over a photograph. */
export function fit(
  original: Size,
  tensor: Size,
  resize: Preprocess["resize"],
  cropFraction: number,
): Geometry {
  if (resize === "stretch") return { original, tensor, box: [0, 0, original[1], original[0]] };
  const resized = resize === "crop" ? cover(original, tensor, cropFraction) : contain(original, tensor);
  const [left, right] = span(original[1], resized[1], tensor[1]);
  const [top, bottom] = span(original[0], resized[0], tensor[0]);
  return { original, tensor, box: [left, top, right, bottom] };
}

/** [left, top, right, bottom] of the tensor's pixels that show the photograph, not a margin. */
export function inside(geometry: Geometry): [number, number, number, number] {
  const [x0, x1] = seen(geometry, 1);
  const [y0, y1] = seen(geometry, 0);
  return [x0, y0, x1, y1];
}

/** The part of the box that lies in the photograph, in its pixels. */
export function visible({ box, original }: Geometry): [number, number, number, number] {
  return [
    Math.max(box[0], 0),
    Math.max(box[1], 0),
    Math.min(box[2], original[1]),
    Math.min(box[3], original[0]),
  ];
}

/** First and last + 1 tensor pixel whose centre lies in the photograph, along an axis. */
function seen({ box, original, tensor }: Geometry, axis: 0 | 1): [number, number] {
  const start = axis === 1 ? box[0] : box[1];
  const end = axis === 1 ? box[2] : box[3];
  const scale = tensor[axis] / (end - start);
  const first = roundHalfToEven(Math.max(-start * scale, 0));
  const last = roundHalfToEven(Math.min((original[axis] - start) * scale, tensor[axis]));
  return [first, Math.max(last, first + 1)];
}

/** Size the photograph is resized to before a centre crop. */
function cover(original: Size, tensor: Size, cropFraction: number): Size {
  const [height, width] = tensor.map((n) => Math.max(n, Math.trunc(n / cropFraction + 1e-9))) as Size;
  if (height * original[1] >= width * original[0]) {
    return [height, Math.max(width, Math.floor((original[1] * height) / original[0]))];
  }
  return [Math.max(height, Math.floor((original[0] * width) / original[1])), width];
}

/** Size of the photograph inside a letterbox. */
function contain(original: Size, tensor: Size): Size {
  const factor = Math.min(tensor[0] / original[0], tensor[1] / original[1]);
  const side = (axis: 0 | 1): number =>
    Math.min(tensor[axis], Math.max(1, roundHalfToEven(original[axis] * factor)));
  return [side(0), side(1)];
}

/** Start and end, in original pixels, of `tensor` pixels centred on `original` pixels made `resized`. */
function span(original: number, resized: number, tensor: number): [number, number] {
  const margin = resized - tensor;
  const start = margin > 0 ? roundHalfToEven(margin / 2) : -Math.floor(-margin / 2);
  return [(start * original) / resized, ((start + tensor) * original) / resized];
}

/** Python's round: halves go to the even neighbour. */
export function roundHalfToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}
