/**
 * Resampling of 8-bit pictures, byte for byte as Pillow's `Image.resize(size, filter, box)`: two passes, the filter
 * widened where the picture shrinks, weights in fixed point of 22 bits, rounded to bytes in between.
 */

import type { Preprocess } from "../engine/types";

/** Pixels [height, width, channels], row by row. */
export interface Pixels {
  width: number;
  height: number;
  channels: number;
  bytes: Uint8Array | Uint8ClampedArray;
}

export type Box = [left: number, top: number, right: number, bottom: number];

interface Filter {
  support: number;
  weight: (x: number) => number;
}

/** Weights of one output pixel: of `weights.length` input pixels from `first` on. */
interface Row {
  first: number;
  weights: Int32Array;
}

const BITS = 22;
const HALF = 1 << (BITS - 1);

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

function bicubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

const FILTERS: Record<Exclude<Preprocess["interpolation"], "nearest">, Filter> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Resample the box of a picture to a size. */
export function resample(
  pixels: Pixels,
  width: number,
  height: number,
  how: Preprocess["interpolation"],
  box: Box,
): Pixels {
  const [left, top, right, bottom] = box.map(Math.fround) as Box; // Pillow holds it in single precision
  const whole = left === 0 && top === 0 && right === pixels.width && bottom === pixels.height;
  if (whole && width === pixels.width && height === pixels.height) return pixels;
  if (how === "nearest") return nearest(pixels, width, height, [left, top, right, bottom]);
  const across = width !== pixels.width || left !== 0 || right !== width;
  const down = height !== pixels.height || top !== 0 || bottom !== height;
  const narrow = across
    ? horizontal(pixels, width, rows(pixels.width, left, right, width, FILTERS[how]))
    : pixels;
  return down ? vertical(narrow, height, rows(pixels.height, top, bottom, height, FILTERS[how])) : narrow;
}

function rows(size: number, start: number, end: number, count: number, filter: Filter): Row[] {
  const scale = Math.fround(end - start) / count;
  const widened = Math.max(scale, 1);
  const support = filter.support * widened;
  return Array.from({ length: count }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    return { first, weights: fixed(first, last, centre, widened, filter) };
  });
}

function fixed(first: number, last: number, centre: number, widened: number, filter: Filter): Int32Array {
  const exact = Array.from({ length: last - first }, (_, x) =>
    filter.weight((x + first - centre + 0.5) * (1 / widened)),
  );
  const sum = exact.reduce((total, w) => total + w, 0);
  const scaled = exact.map((w) => (sum === 0 ? w : w * (1 / sum)) * (1 << BITS));
  return Int32Array.from(scaled, (w) => Math.trunc(w < 0 ? w - 0.5 : w + 0.5));
}

const byte = (sum: number): number => Math.min(255, Math.max(0, sum >> BITS));

function horizontal(pixels: Pixels, width: number, table: Row[]): Pixels {
  const { height, channels, bytes } = pixels;
  const out = new Uint8Array(height * width * channels);
  let place = 0;
  for (let y = 0; y < height; y++) {
    const row = y * pixels.width * channels;
    for (const { first, weights } of table) {
      for (let c = 0; c < channels; c++) {
        let sum = HALF;
        let from = row + first * channels + c;
        for (const weight of weights) {
          sum += (bytes[from] ?? 0) * weight;
          from += channels;
        }
        out[place++] = byte(sum);
      }
    }
  }
  return { width, height, channels, bytes: out };
}

function vertical(pixels: Pixels, height: number, table: Row[]): Pixels {
  const { width, channels, bytes } = pixels;
  const stride = width * channels;
  const out = new Uint8Array(height * stride);
  let place = 0;
  for (const { first, weights } of table) {
    for (let x = 0; x < stride; x++) {
      let sum = HALF;
      let from = first * stride + x;
      for (const weight of weights) {
        sum += (bytes[from] ?? 0) * weight;
        from += stride;
      }
      out[place++] = byte(sum);
    }
  }
  return { width, height, channels, bytes: out };
}

function nearest(pixels: Pixels, width: number, height: number, [left, top, right, bottom]: Box): Pixels {
  const columns = nearestOf(pixels.width, left, right, width);
  const lines = nearestOf(pixels.height, top, bottom, height);
  const { channels, bytes } = pixels;
  const out = new Uint8Array(height * width * channels);
  let place = 0;
  for (const y of lines) {
    for (const x of columns) {
      for (let c = 0; c < channels; c++) out[place++] = bytes[(y * pixels.width + x) * channels + c] ?? 0;
    }
  }
  return { width, height, channels, bytes: out };
}

/** Pillow adds the step up pixel by pixel, and so do we: its rounding decides between neighbours. */
function nearestOf(size: number, start: number, end: number, count: number): number[] {
  const step = Math.fround(end - start) / count;
  const found: number[] = [];
  let place = start + step * 0.5;
  for (let i = 0; i < count; i++, place += step)
    found.push(Math.min(size - 1, Math.max(0, Math.floor(place))));
  return found;
}
