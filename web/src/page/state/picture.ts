/** A photo as the browser reads it: upright, at its own resolution. */

export interface Picture {
  width: number;
  height: number;
  /** At its own resolution. */
  source: ImageBitmap;
  blob: Blob;
}

/** null where this browser cannot show the file (.npy, TIFF), although the engine may read it. */
export async function openPicture(blob: Blob): Promise<Picture | null> {
  try {
    const source = await createImageBitmap(blob, { imageOrientation: "from-image" });
    return { width: source.width, height: source.height, source, blob };
  } catch {
    return null;
  }
}

/** A canvas and its pen; null where there are none (tests without a browser). */
export function canvasOf(
  width: number,
  height: number,
): [HTMLCanvasElement, CanvasRenderingContext2D] | null {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  return pen ? [canvas, pen] : null;
}

/** RGBA pixels as something that can be drawn. */
export function canvasOfPixels(
  pixels: Uint8ClampedArray<ArrayBuffer>,
  width: number,
  height: number,
): HTMLCanvasElement | null {
  const made = canvasOf(width, height);
  if (!made) return null;
  made[1].putImageData(new ImageData(pixels, width, height), 0, 0);
  return made[0];
}
