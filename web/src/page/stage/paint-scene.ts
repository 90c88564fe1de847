/** Draw one panel: backdrop, map and contours, for the part that is seen. */

import { css } from "../../draw/colours";
import { contoursOf, type Contour } from "../../draw/contours";
import { paintMap, paintOverlay, softLimit } from "../../draw/paint";
import { canvasOfPixels } from "../state/picture";
import type { View, Zoom } from "../state/view";
import type { Backdrop } from "./backdrop";
import { softOf, type Scene } from "./scene";

export type Look = Pick<View, "mode" | "opacity" | "threshold" | "palette" | "zoom">;

interface Painted {
  key: string;
  canvas: HTMLCanvasElement | null;
}

const LOW = 64; // pictures below are shown with their pixels, as in Python
const painted = new WeakMap<Scene, Painted>();
const lines = new WeakMap<Scene, { key: string; found: Contour[] }>();

/** Draw on a pen whose canvas has the shape of the picture. */
export function drawScene(
  pen: CanvasRenderingContext2D,
  scene: Scene,
  backdrop: Backdrop | null,
  look: Look,
  limit: number,
): void {
  const { width, height } = pen.canvas;
  pen.fillStyle = look.mode === "map" ? "#fff" : "#d6d6d6"; // 0 is white, also on a dark page
  pen.fillRect(0, 0, width, height);
  if (backdrop) drawBackdrop(pen, backdrop, look);
  if (look.mode === "map" || look.mode === "overlay") drawColours(pen, scene, look, limit);
  if (look.mode === "contours") drawContours(pen, scene, look, limit);
}

function drawBackdrop(pen: CanvasRenderingContext2D, backdrop: Backdrop, { mode, zoom }: Look): void {
  if (mode === "map") return;
  const isGrey = mode === "overlay";
  const [width, height] = isGrey ? backdrop.greySize : [backdrop.width, backdrop.height];
  pen.imageSmoothingEnabled = Math.max(backdrop.width, backdrop.height) >= LOW;
  pen.imageSmoothingQuality = "high";
  part(pen, isGrey ? backdrop.grey : backdrop.photo, width, height, zoom);
}

function drawColours(pen: CanvasRenderingContext2D, scene: Scene, look: Look, limit: number): void {
  const canvas = colours(scene, look, limit);
  if (!canvas) return;
  pen.imageSmoothingEnabled = Math.max(canvas.width, canvas.height) >= LOW && look.mode === "overlay";
  part(pen, canvas, canvas.width, canvas.height, look.zoom);
}

function colours(scene: Scene, look: Look, limit: number): HTMLCanvasElement | null {
  const key = [look.mode, look.opacity, look.threshold, look.palette, limit].join();
  const known = painted.get(scene);
  if (known?.key === key) return known.canvas;
  const { plane } = scene;
  const paint = { limit, palette: look.palette, threshold: look.threshold };
  const pixels = look.mode === "map" ? paintMap(plane, paint) : overlayPixels(scene, look, limit);
  const canvas = canvasOfPixels(pixels, plane.width, plane.height);
  painted.set(scene, { key, canvas });
  return canvas;
}

function overlayPixels({ plane }: Scene, look: Look, limit: number): Uint8ClampedArray<ArrayBuffer> {
  const soft = softOf(plane);
  const paint = {
    limit: softLimit(soft, plane, limit),
    palette: look.palette,
    threshold: look.threshold,
  };
  return paintOverlay(soft, paint, look.opacity);
}

function drawContours(pen: CanvasRenderingContext2D, scene: Scene, look: Look, limit: number): void {
  const { width, height } = pen.canvas;
  const { left, top, share } = windowOf(look.zoom);
  const [sx, sy] = [width / (scene.plane.width * share), height / (scene.plane.height * share)];
  pen.save();
  pen.globalAlpha = look.opacity;
  for (const { share: level, rings } of contours(scene, look, limit)) {
    const path = new Path2D();
    for (const ring of rings) {
      ring.forEach(([x, y], i) => {
        const [px, py] = [x * sx - (left * width) / share, y * sy - (top * height) / share];
        if (i === 0) path.moveTo(px, py);
        else path.lineTo(px, py);
      });
    }
    stroke(pen, path, css(Math.sign(level) * (0.4 + 0.6 * Math.abs(level)), look.palette), level < 0);
  }
  pen.restore();
}

/** Lines change neither with zoom nor with opacity. */
function contours(scene: Scene, { threshold }: Look, limit: number): Contour[] {
  const key = [threshold, limit].join();
  const known = lines.get(scene);
  if (known?.key === key) return known.found;
  const soft = softOf(scene.plane);
  const found = contoursOf(soft, softLimit(soft, scene.plane, limit), threshold);
  lines.set(scene, { key, found });
  return found;
}

/** A coloured line with a white rim, to be seen on any photo; dashed where it speaks against. */
function stroke(pen: CanvasRenderingContext2D, path: Path2D, colour: string, dashed: boolean): void {
  const unit = Math.max(1, pen.canvas.width / 500);
  pen.setLineDash([]);
  pen.lineWidth = 3.2 * unit;
  pen.strokeStyle = "rgb(255 255 255 / 0.8)";
  pen.stroke(path);
  pen.setLineDash(dashed ? [5 * unit, 3 * unit] : []);
  pen.lineWidth = 1.8 * unit;
  pen.strokeStyle = colour;
  pen.stroke(path);
}

/** The part of the picture that is seen, in shares of it. */
export function windowOf({ scale, x, y }: Zoom): { left: number; top: number; share: number } {
  const share = 1 / scale;
  return { left: x - share / 2, top: y - share / 2, share };
}

function part(
  pen: CanvasRenderingContext2D,
  source: CanvasImageSource,
  width: number,
  height: number,
  zoom: Zoom,
): void {
  const { left, top, share } = windowOf(zoom);
  const { canvas } = pen;
  pen.drawImage(
    source,
    left * width,
    top * height,
    share * width,
    share * height,
    0,
    0,
    canvas.width,
    canvas.height,
  );
}
