/** Lay a map of the tensor's pixels on the photo, with the weights of `rsp_onnx/inputs/geometry.py`. */

import type { Geometry, RelevanceMap } from "../engine/types";
import { halfToEven } from "./colours";

/** Values of a picture's pixels, row by row. */
export interface Plane {
  width: number;
  height: number;
  values: Float32Array;
}

/** For each pixel of one axis: which tensor pixels it mixes, and how much of each. */
type Mix = { first: number; weights: number[] }[];

const NOTHING = 1e-6; // overlap in tensor pixels below which a pixel was never seen
export const LONGEST = 640; // pixels of a laid map's longer side: no screen shows a panel finer

/** The same geometry of a photo that was made smaller; photos are never made larger. */
export function shrunk(geometry: Geometry, longest: number = LONGEST): Geometry {
  const [height, width] = geometry.original;
  const factor = Math.min(1, longest / Math.max(height, width));
  const original: [number, number] = [
    Math.max(1, Math.round(height * factor)),
    Math.max(1, Math.round(width * factor)),
  ];
  const [y, x] = [original[0] / height, original[1] / width];
  const [left, top, right, bottom] = geometry.box;
  return { ...geometry, original, box: [left * x, top * y, right * x, bottom * y] };
}

/** A layer's map covers what the tensor covers, in its own pixels. */
export function ofLayer(geometry: Geometry, shape: number[]): Geometry {
  return { ...geometry, tensor: [shape[0] ?? 1, shape[1] ?? 1] };
}

/** Bilinear between pixel centres where the photo is finer, the mean where it is coarser, 0 where none was seen. */
export function layOnPhoto(map: RelevanceMap, geometry: Geometry): Plane {
  const [height, width] = geometry.original;
  const columns = mixes(geometry, 1);
  const rows = mixes(geometry, 0);
  const across = alongRows(map.values, geometry.tensor[0], geometry.tensor[1], columns);
  const values = new Float32Array(height * width);
  rows.forEach(({ first, weights }, y) => {
    weights.forEach((weight, k) => {
      const from = (first + k) * width;
      for (let x = 0; x < width; x += 1) {
        const at = y * width + x;
        values[at] = (values[at] ?? 0) + weight * (across[from + x] ?? 0);
      }
    });
  });
  return { width, height, values };
}

function alongRows(values: Float32Array, rows: number, length: number, columns: Mix): Float64Array {
  const out = new Float64Array(rows * columns.length);
  for (let y = 0; y < rows; y += 1) {
    columns.forEach(({ first, weights }, x) => {
      let sum = 0;
      weights.forEach((weight, k) => (sum += weight * (values[y * length + first + k] ?? 0)));
      out[y * columns.length + x] = sum;
    });
  }
  return out;
}

function mixes(geometry: Geometry, axis: 0 | 1): Mix {
  const count = geometry.original[axis];
  const n = geometry.tensor[axis];
  const start = geometry.box[axis === 1 ? 0 : 1];
  const end = geometry.box[axis === 1 ? 2 : 3];
  const edges = Array.from({ length: count + 1 }, (_, i) => (i - start) * (n / (end - start)));
  const seen = seenBetween(edges, n);
  const coarse = (edges[1] ?? 0) - (edges[0] ?? 0) > 1;
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    if (Math.min(to, seen.end) - Math.max(from, seen.first) <= NOTHING) return { first: 0, weights: [] };
    return coarse ? areaMix(from, to, seen) : linearMix((from + to) / 2, seen);
  });
}

interface Seen {
  first: number;
  end: number;
}

/** First and last + 1 tensor pixel whose centre lies in the photo. */
function seenBetween(edges: number[], n: number): Seen {
  const first = halfToEven(Math.max(edges[0] ?? 0, 0));
  const end = halfToEven(Math.min(edges.at(-1) ?? n, n));
  return { first, end: Math.max(end, first + 1) };
}

function linearMix(centre: number, { first, end }: Seen): Mix[number] {
  const position = Math.min(Math.max(centre - 0.5, first), end - 1);
  const low = Math.floor(position);
  if (low + 1 > end - 1) return { first: low, weights: [1] };
  return { first: low, weights: [1 - (position - low), position - low] };
}

function areaMix(from: number, to: number, { first, end }: Seen): Mix[number] {
  const start = Math.max(first, Math.floor(from));
  const stop = Math.min(end, Math.ceil(to));
  const overlaps: number[] = [];
  for (let k = start; k < stop; k += 1) {
    overlaps.push(Math.max(0, Math.min(to, k + 1) - Math.max(from, k)));
  }
  const total = overlaps.reduce((a, b) => a + b, 0);
  return total > NOTHING
    ? { first: start, weights: overlaps.map((o) => o / total) }
    : { first: 0, weights: [] };
}
