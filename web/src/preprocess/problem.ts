/** What is wrong with how photographs should be prepared, in the words of Python's `Preprocess`. */

import type { Preprocess } from "../engine/types";
import type { Wanted } from "./tensor";

/** Return a sentence; null where all fits the model's input. */
export function problemOf(how: Preprocess, wanted: Wanted): string | null {
  const { size, channels } = how;
  if (size && (size[0] !== wanted.height || size[1] !== wanted.width)) {
    return `This page's files are compiled for ${wanted.height}×${wanted.width} (height×width): leave the size out.`;
  }
  if (channels && channels.length !== wanted.channels) {
    return `Preprocessing makes ${channels} pictures, but the model's input has ${wanted.channels} channels.`;
  }
  if (!Number.isFinite(how.scale) || how.scale === 0)
    return "The scale must be a finite number other than 0.";
  for (const key of ["mean", "std"] as const) {
    const numbers = how[key];
    const fits = [1, wanted.channels].includes(numbers.length) && numbers.every(Number.isFinite);
    if (!fits) return `${key} must be one finite number, or one for each of ${wanted.channels} channels.`;
  }
  if (Math.min(...how.std) <= 0) return "std must be above 0.";
  if (!(how.crop_fraction > 0 && how.crop_fraction <= 1)) {
    return "The part that a crop keeps must be above 0, at most 1.";
  }
  const isByte = Number.isInteger(how.pad_value) && how.pad_value >= 0 && how.pad_value <= 255;
  return isByte ? null : "The value of margins must be a whole number from 0 to 255.";
}
