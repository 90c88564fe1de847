/** From values to RGBA pixels. */

import { colourTable, place, type Palette } from "./colours";
import type { Plane } from "./lay";
import { colourLimit } from "./limit";

export interface Paint {
  limit: number;
  palette: Palette;
  /** Values below this share of the limit are transparent. */
  threshold: number;
}

/** The map in its colours: opaque, but transparent below the threshold. */
export function paintMap(plane: Plane, { limit, palette, threshold }: Paint): Uint8ClampedArray<ArrayBuffer> {
  const table = colourTable(palette);
  const pixels = new Uint8ClampedArray(4 * plane.values.length);
  plane.values.forEach((value, i) => {
    const share = value / limit;
    const shown = Math.abs(share) >= threshold;
    write(pixels, i, table, place(share), shown ? 255 : 0);
  });
  return pixels;
}

/** Colours to lay over a grey photo, the stronger the relevance the more opaque; `opacity` is that at the limit. */
export function paintOverlay(
  soft: Plane,
  { limit, palette, threshold }: Paint,
  opacity: number,
): Uint8ClampedArray<ArrayBuffer> {
  const table = colourTable(palette);
  const pixels = new Uint8ClampedArray(4 * soft.values.length);
  soft.values.forEach((value, i) => {
    const share = Math.max(-1, Math.min(1, value / limit));
    const shown = Math.abs(share) >= threshold;
    // below 1: weak relevance is seen as well
    const alpha = shown ? opacity * Math.abs(share) ** 0.75 : 0;
    // never the pale end of the scale: over a photo, white would read as fog instead of as nothing
    write(pixels, i, table, place(Math.sign(share) * 0.5 + 0.35 * share), Math.round(255 * alpha));
  });
  return pixels;
}

/** Limit of the smoothed map: blurring makes values smaller, so the scale shrinks by the same factor. */
export function softLimit(soft: Plane, plain: Plane, limit: number): number {
  return limit * (limitOfPlane(soft) / limitOfPlane(plain));
}

const limits = new WeakMap<Plane, number>();

/** `colourLimit` of a plane; it sorts all values, so once for each has to do. */
export function limitOfPlane(plane: Plane): number {
  const limit = limits.get(plane) ?? colourLimit(plane.values);
  limits.set(plane, limit);
  return limit;
}

/** The photo under an overlay: pale grey, as Pillow's "L" times 0.7 plus 65. */
export function paleGrey(photo: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(photo.length);
  for (let i = 0; i < photo.length; i += 4) {
    const r = photo[i] ?? 0;
    const luma = (r * 19595 + (photo[i + 1] ?? 0) * 38470 + (photo[i + 2] ?? 0) * 7471 + 0x8000) >> 16;
    pixels.fill(luma * 0.7 + 65, i, i + 3);
    pixels[i + 3] = photo[i + 3] ?? 255;
  }
  return pixels;
}

function write(pixels: Uint8ClampedArray, i: number, table: Uint8Array, at: number, alpha: number): void {
  pixels[4 * i] = table[at] ?? 0;
  pixels[4 * i + 1] = table[at + 1] ?? 0;
  pixels[4 * i + 2] = table[at + 2] ?? 0;
  pixels[4 * i + 3] = alpha;
}
