/** The arithmetic of the demo: a class is a colour, and a pixel speaks for the colours it is like. */

import type { ColourClass } from "./demo-models";
import type { Pixels } from "./demo-pictures";
import type { Geometry, RelevanceMap } from "./types";

const SIDE = 32;
const GAIN = 24;

/** A centre crop to a square. */
export function cropGeometry({ width, height }: { width: number; height: number }): Geometry {
  const side = Math.min(width, height);
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  return {
    original: [height, width],
    tensor: [SIDE, SIDE],
    box: [left, top, left + side, top + side],
  };
}

/** How much each pixel speaks for each class, over what it says for all on average; sums are the scores. */
export function contributions(pixels: Pixels, classes: ColourClass[]): Float32Array[] {
  const geometry = cropGeometry(pixels);
  const likeness = classes.map(({ colour }) => likenessOf(pixels, geometry, colour));
  const mean = new Float32Array(SIDE * SIDE);
  for (const one of likeness) one.forEach((value, i) => (mean[i] = (mean[i] ?? 0) + value / classes.length));
  return likeness.map((one) => one.map((value, i) => (GAIN * (value - (mean[i] ?? 0))) / one.length));
}

function likenessOf(pixels: Pixels, geometry: Geometry, colour: readonly number[]): Float32Array {
  const [left, top, right, bottom] = geometry.box;
  return Float32Array.from({ length: SIDE * SIDE }, (_, i) => {
    const x = Math.floor(left + ((right - left) * ((i % SIDE) + 0.5)) / SIDE);
    const y = Math.floor(top + ((bottom - top) * (Math.floor(i / SIDE) + 0.5)) / SIDE);
    const at = 4 * (y * pixels.width + x);
    const far = Math.hypot(...colour.map((c, k) => c - (pixels.data[at + k] ?? 0)));
    return Math.exp(-((far / 90) ** 2));
  });
}

export function sum(values: Float32Array): number {
  return values.reduce((a, b) => a + b, 0);
}

export function softmax(scores: Float32Array): Float32Array {
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scores.map((s) => Math.exp(s - most));
  const total = sum(powers);
  return powers.map((p) => p / total);
}

/** Sums over blocks: the map of a layer with fewer pixels. */
export function pooled(map: Float32Array, side: number): RelevanceMap {
  const values = new Float32Array(side * side);
  map.forEach((value, i) => {
    const y = Math.floor((Math.floor(i / SIDE) * side) / SIDE);
    const x = Math.floor(((i % SIDE) * side) / SIDE);
    values[y * side + x] = (values[y * side + x] ?? 0) + value;
  });
  return { shape: [side, side], values };
}

/** The map as one per channel, with uneven shares. */
export function inChannels(map: Float32Array): RelevanceMap {
  const shares = [0.5, 0.3, 0.2];
  return {
    shape: [3, SIDE, SIDE],
    values: Float32Array.from(shares.flatMap((share) => Array.from(map, (value) => share * value))),
  };
}

/** A wave for inputs that are no photo. */
export function wave(count: number, phase: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.37 + phase) * Math.exp(-i / count));
}

export const mapSide = SIDE;
