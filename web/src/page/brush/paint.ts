/** Paint strokes onto a copy of the photo, at its own resolution. */

import { canvasOf, type Picture } from "../state/picture";
import { discsOf, type Paint, type Stroke } from "./strokes";

const BLUR = 24; // pixels that are left of the longer side
const NOISE = 128; // side of the noise in its own pixels, laid as tiles

type Fills = Map<Paint, CanvasImageSource>;
const fills = new WeakMap<Picture, Fills>();

/** The photo with the strokes; null without a browser. */
export function paintedCanvas(picture: Picture, strokes: Stroke[]): HTMLCanvasElement | null {
  const made = canvasOf(picture.width, picture.height);
  if (!made) return null;
  const [canvas, pen] = made;
  pen.drawImage(picture.source, 0, 0);
  for (const stroke of strokes) paintStroke(pen, picture, stroke);
  return canvas;
}

export function paintStroke(pen: CanvasRenderingContext2D, picture: Picture, stroke: Stroke): void {
  const fill = fillOf(picture, stroke.paint);
  if (!fill) return;
  const path = new Path2D();
  for (const { x, y, radius } of discsOf(stroke, picture.width, picture.height)) {
    path.moveTo(x + radius, y);
    path.arc(x, y, radius, 0, 2 * Math.PI);
  }
  pen.save();
  pen.clip(path);
  pen.imageSmoothingEnabled = stroke.paint !== "noise";
  pen.drawImage(fill, 0, 0, picture.width, picture.height);
  pen.restore();
}

function fillOf(picture: Picture, paint: Paint): CanvasImageSource | null {
  const known: Fills = fills.get(picture) ?? new Map<Paint, CanvasImageSource>();
  fills.set(picture, known);
  const made = known.get(paint) ?? makers[paint](picture);
  if (made) known.set(paint, made);
  return made;
}

const makers: Record<Paint, (picture: Picture) => HTMLCanvasElement | null> = {
  grey: (picture) => shrunk(picture, 1), // drawn large, one pixel is the mean colour
  blur: (picture) => shrunk(picture, BLUR),
  noise,
};

/** The photo in few pixels, each the mean of its part: made in halves, since one step would skip pixels. */
function shrunk(picture: Picture, longest: number): HTMLCanvasElement | null {
  const factor = longest / Math.max(picture.width, picture.height);
  const goal = [picture.width, picture.height].map((n) => Math.max(1, Math.round(n * Math.min(1, factor))));
  let source: CanvasImageSource = picture.source;
  let [width, height] = [picture.width, picture.height];
  for (;;) {
    width = Math.max(goal[0] ?? 1, Math.ceil(width / 2));
    height = Math.max(goal[1] ?? 1, Math.ceil(height / 2));
    const made = canvasOf(width, height);
    if (!made) return null;
    made[1].imageSmoothingQuality = "high";
    made[1].drawImage(source, 0, 0, width, height);
    source = made[0];
    if (width <= (goal[0] ?? 1) && height <= (goal[1] ?? 1)) return made[0];
  }
}

/** The same noise every time, so that a try can be repeated. */
function noise(): HTMLCanvasElement | null {
  const made = canvasOf(NOISE, NOISE);
  if (!made) return null;
  const [canvas, pen] = made;
  const pixels = pen.createImageData(NOISE, NOISE);
  let seed = 1;
  pixels.data.forEach((_, i) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    pixels.data[i] = i % 4 === 3 ? 255 : seed >>> 24;
  });
  pen.putImageData(pixels, 0, 0);
  return canvas;
}
