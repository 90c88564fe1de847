/** A Gaussian blur that keeps the sum: at the borders the picture is mirrored. As `smooth` in colours.py. */

import type { Plane } from "./lay";

const SIGMA = 0.015; // of the root of the picture's area: joins single pixels to spots, keeps objects apart

/** Blur as overlays and contours are; `sigma` in pixels. */
export function smooth(plane: Plane, sigma = SIGMA * Math.sqrt(plane.width * plane.height)): Plane {
  if (sigma <= 0) return plane;
  const kernel = gaussian(sigma);
  const rows = smoothRows(plane.values, plane.width, plane.height, kernel);
  const columns = smoothRows(turned(rows, plane.width, plane.height), plane.height, plane.width, kernel);
  return { ...plane, values: turned(columns, plane.height, plane.width) };
}

function gaussian(sigma: number): Float64Array {
  const radius = Math.floor(4 * sigma + 0.5);
  const kernel = new Float64Array(2 * radius + 1);
  kernel.forEach((_, i) => (kernel[i] = Math.exp(-0.5 * ((i - radius) / sigma) ** 2)));
  const sum = kernel.reduce((a, b) => a + b, 0);
  return kernel.map((k) => k / sum);
}

function smoothRows(values: Float32Array, width: number, height: number, kernel: Float64Array): Float32Array {
  const radius = (kernel.length - 1) / 2;
  const out = new Float32Array(values.length);
  const line = new Float64Array(width + 2 * radius);
  for (let y = 0; y < height; y += 1) {
    for (let i = 0; i < line.length; i += 1) {
      line[i] = values[y * width + mirrored(i - radius, width)] ?? 0;
    }
    for (let x = 0; x < width; x += 1) {
      let sum = 0;
      for (let k = 0; k < kernel.length; k += 1) sum += (kernel[k] ?? 0) * (line[x + k] ?? 0);
      out[y * width + x] = sum;
    }
  }
  return out;
}

/** ... 1 0 | 0 1 2 | 2 1 ..., numpy's "symmetric". */
function mirrored(i: number, n: number): number {
  const place = ((i % (2 * n)) + 2 * n) % (2 * n);
  return place < n ? place : 2 * n - 1 - place;
}

function turned(values: Float32Array, width: number, height: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) out[x * height + y] = values[y * width + x] ?? 0;
  }
  return out;
}
