/** What lies under a map: the photo, and its pale grey for overlays. */

import { paleGrey } from "../../draw/paint";
import type { RelevanceMap } from "../../engine/types";
import { canvasOf, canvasOfPixels, type Picture } from "../state/picture";

export interface Backdrop {
  width: number;
  height: number;
  photo: CanvasImageSource;
  grey: CanvasImageSource;
  greySize: [width: number, height: number];
}

const LONGEST_GREY = 1600; // pixels
const known = new WeakMap<Picture | RelevanceMap, Backdrop>();

export function backdropOf(picture: Picture | null): Backdrop | null {
  if (!picture) return null;
  const found = known.get(picture) ?? ofPhoto(picture);
  if (found) known.set(picture, found);
  return found;
}

function ofPhoto(picture: Picture): Backdrop | null {
  const factor = Math.min(1, LONGEST_GREY / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((n) => Math.max(1, Math.round(n * factor)));
  const made = canvasOf(width ?? 1, height ?? 1);
  if (!made) return null;
  const [canvas, pen] = made;
  pen.drawImage(picture.source, 0, 0, canvas.width, canvas.height);
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  const grey = canvasOfPixels(paleGrey(pixels.data), canvas.width, canvas.height);
  if (!grey) return null;
  const { width: w, height: h, source: photo } = picture;
  return { width: w, height: h, photo, grey, greySize: [grey.width, grey.height] };
}

/** The input itself as a grey picture, such as a spectrogram or a slice; [.., height, width]. */
export function backdropOfInput(input: RelevanceMap | null): Backdrop | null {
  if (!input) return null;
  const found = known.get(input) ?? ofInput(input);
  if (found) known.set(input, found);
  return found;
}

function ofInput({ shape, values }: RelevanceMap): Backdrop | null {
  const [height = 1, width = 1] = shape.slice(-2);
  const plane = values.subarray(0, height * width); // the first channel
  const low = plane.reduce((a, b) => Math.min(a, b), Infinity);
  const range = plane.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  const pixels = new Uint8ClampedArray(4 * plane.length);
  plane.forEach((value, i) => {
    pixels.fill(255 * ((value - low) / range), 4 * i, 4 * i + 3);
    pixels[4 * i + 3] = 255;
  });
  const photo = canvasOfPixels(pixels, width, height);
  const grey = canvasOfPixels(paleGrey(pixels), width, height);
  return photo && grey ? { width, height, photo, grey, greySize: [width, height] } : null;
}
