/** From a picture file to upright RGB pixels over white, as Python reads it; and what a browser does not hold. */

import type { Pixels } from "../preprocess/resample";
import { EngineError } from "./types";

const MOST = 178_956_970; // pixels, what Pillow decodes safely

export interface Photo {
  pixels: Pixels;
  warnings: string[];
}

/** Decode a picture. Throws EngineError where the browser cannot. */
export async function decode(blob: Blob, name: string): Promise<Photo> {
  // without colour management, since models were trained on the numbers in the file
  const bitmap = await createImageBitmap(blob, {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new EngineError(`${name} is not a picture that this browser can read: give a JPEG, PNG or WebP.`);
  });
  const { width, height } = bitmap;
  if (width * height > MOST) throw new EngineError(`${name} has ${width}×${height} pixels: shrink it first.`);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new EngineError("This browser gives no canvas to read the picture with.");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return overWhite(context.getImageData(0, 0, width, height));
}

/** Lay RGBA over white, as Pillow's alpha_composite does on an opaque ground. */
export function overWhite({ width, height, data }: ImageData): Photo {
  const bytes = new Uint8Array(width * height * 3);
  let transparent = false;
  for (let i = 0; i < width * height; i++) {
    const alpha = data[4 * i + 3] ?? 255;
    transparent ||= alpha < 255;
    for (let c = 0; c < 3; c++) {
      bytes[3 * i + c] = Math.round(((data[4 * i + c] ?? 0) * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  const warnings = transparent ? ["its transparent parts were laid over white"] : [];
  return { pixels: { width, height, channels: 3, bytes }, warnings };
}
