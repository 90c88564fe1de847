/** A figure as SVG text or on a canvas. */

import { scaleStops, type Palette } from "../../draw/colours";
import type { Figure, Item } from "./figure";

/** The figure as SVG: words stay text, maps are PNG inside. */
export function svgOf(figure: Figure): string {
  const body = figure.items.map(svgItem).join("\n");
  const stops = (["red-blue", "blue-orange"] as const).map(gradient).join("");
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${figure.width}" height="${figure.height}" ` +
    `viewBox="0 0 ${figure.width} ${figure.height}" font-family="system-ui, sans-serif">\n` +
    `<title>${escaped(figure.title)}</title>\n<defs>${stops}</defs>\n${body}\n</svg>\n`
  );
}

function svgItem(item: Item): string {
  const { x, y } = item;
  if (item.kind === "text") {
    const weight = item.bold ? ' font-weight="600"' : "";
    const place = `x="${x}" y="${y}" font-size="${item.size}" text-anchor="${item.anchor}"`;
    return `<text ${place} fill="${item.colour}"${weight}>${escaped(item.text)}</text>`;
  }
  const box = `x="${x}" y="${y}" width="${item.width}" height="${item.height}"`;
  if (item.kind === "image") return `<image ${box} href="${item.canvas.toDataURL("image/png")}"/>`;
  return `<rect ${box} fill="${item.kind === "ramp" ? `url(#${item.palette})` : item.colour}"/>`;
}

function gradient(palette: Palette): string {
  const stops = scaleStops(palette).map((s) => `<stop offset="${s.offset}" stop-color="${s.colour}"/>`);
  return `<linearGradient id="${palette}">${stops.join("")}</linearGradient>`;
}

/** A label may hold anything. */
export function escaped(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/\p{Cc}/gu, " ").replace(/[&<>"]/g, (c) => names[c] ?? c); // XML takes no control characters
}

/** The figure on a canvas, twice as fine; null without a browser. */
export function drawFigure(figure: Figure): HTMLCanvasElement | null {
  const canvas = document.createElement("canvas");
  canvas.width = 2 * figure.width;
  canvas.height = 2 * figure.height;
  const pen = canvas.getContext("2d");
  if (!pen) return null;
  pen.scale(2, 2);
  for (const item of figure.items) drawItem(pen, item);
  return canvas;
}

function drawItem(pen: CanvasRenderingContext2D, item: Item): void {
  if (item.kind === "text") {
    pen.font = `${item.bold ? "600 " : ""}${item.size}px system-ui, sans-serif`;
    pen.textAlign = item.anchor === "middle" ? "center" : item.anchor;
    pen.fillStyle = item.colour;
    pen.fillText(item.text, item.x, item.y);
  } else if (item.kind === "image") {
    pen.imageSmoothingQuality = "high";
    pen.drawImage(item.canvas, item.x, item.y, item.width, item.height);
  } else {
    pen.fillStyle = item.kind === "rect" ? item.colour : rampOf(pen, item);
    pen.fillRect(item.x, item.y, item.width, item.height);
  }
}

function rampOf(pen: CanvasRenderingContext2D, item: { x: number; width: number; palette: Palette }) {
  const ramp = pen.createLinearGradient(item.x, 0, item.x + item.width, 0);
  for (const { offset, colour } of scaleStops(item.palette)) ramp.addColorStop(offset, colour);
  return ramp;
}
