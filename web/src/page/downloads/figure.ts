/** The picture of what is shown, as a list of things to draw: the same for PNG and SVG. */

import { css, strongCss, type Palette } from "../../draw/colours";
import { plain } from "../../draw/numbers";
import type { Ends } from "../state/classes";

export type Item =
  | {
      kind: "text";
      x: number;
      y: number;
      size: number;
      text: string;
      colour: string;
      anchor: Anchor;
      bold: boolean;
    }
  | { kind: "rect"; x: number; y: number; width: number; height: number; colour: string }
  | { kind: "ramp"; x: number; y: number; width: number; height: number; palette: Palette }
  | { kind: "image"; x: number; y: number; width: number; height: number; canvas: HTMLCanvasElement };
type Anchor = "start" | "middle" | "end";

export interface Figure {
  width: number;
  height: number;
  title: string;
  items: Item[];
}

/** One panel of it. */
export interface FigurePanel {
  title: string;
  line: string;
  ends: Ends;
  /** What the page draws, where it is a picture. */
  canvas: HTMLCanvasElement | null;
  /** Rows of values, where it is none. */
  rows: Float32Array[];
}

export interface Head {
  title: string;
  lines: string[];
  limit: number;
  palette: Palette;
}

const PANEL = 480;
const GAP = 24;
const GREY = "#555555";
const ROW = 90; // height of a row of values
const BELOW = 74; // room for the scale

/** Lay the panels out: up to three in a row, four in two. */
export function figureOf(head: Head, panels: FigurePanel[]): Figure {
  const columns = panels.length === 4 ? 2 : Math.max(1, panels.length);
  const width = GAP + columns * (PANEL + GAP);
  const items: Item[] = headItems(head, width);
  let y = 64 + 20 * head.lines.length;
  for (let start = 0; start < panels.length; start += columns) {
    const row = panels.slice(start, start + columns);
    row.forEach((panel, i) => items.push(...panelItems(panel, head, GAP + i * (PANEL + GAP), y)));
    y += 44 + Math.max(...row.map(pictureHeight)) + BELOW;
  }
  items.unshift({ kind: "rect", x: 0, y: 0, width, height: y, colour: "#ffffff" });
  return { width, height: y, title: head.title, items };
}

function headItems({ title, lines }: Head, width: number): Item[] {
  const text = (words: string, y: number, size: number, bold: boolean): Item => ({
    kind: "text",
    x: width / 2,
    y,
    size,
    text: cut(words, width - 2 * GAP, size),
    colour: bold ? "#111111" : GREY,
    anchor: "middle",
    bold,
  });
  return [text(title, 36, 20, true), ...lines.map((line, i) => text(line, 60 + 20 * i, 13, false))];
}

export function pictureHeight({ canvas, rows }: FigurePanel): number {
  return canvas ? Math.round((PANEL * canvas.height) / canvas.width) : ROW * Math.max(1, rows.length);
}

function panelItems(panel: FigurePanel, head: Head, x: number, y: number): Item[] {
  const height = pictureHeight(panel);
  const words = (text: string, dy: number, bold: boolean): Item => ({
    kind: "text",
    x,
    y: y + dy,
    size: bold ? 15 : 13,
    text: cut(text, PANEL, bold ? 15 : 13),
    colour: bold ? "#111111" : GREY,
    anchor: "start",
    bold,
  });
  const top = y + 44;
  const picture: Item[] = panel.canvas
    ? [{ kind: "image", x, y: top, width: PANEL, height, canvas: panel.canvas }]
    : panel.rows.flatMap((row, i) => rowItems(row, head, x, top + i * ROW));
  return [
    words(panel.title, 14, true),
    words(panel.line, 34, false),
    ...picture,
    ...scaleItems(panel.ends, head, x, top + height + 12),
  ];
}

/** Upright bars from zero in the middle. */
function rowItems(values: Float32Array, { limit, palette }: Head, x: number, y: number): Item[] {
  const step = PANEL / values.length;
  const bars = Array.from(values, (value, i): Item => {
    const share = Math.max(-1, Math.min(1, value / limit));
    const height = Math.max(0.5, (Math.abs(share) * (ROW - 10)) / 2);
    const top = y + ROW / 2 - (share > 0 ? height : 0);
    return { kind: "rect", x: x + i * step, y: top, width: step, height, colour: strongCss(share, palette) };
  });
  return [...bars, { kind: "rect", x, y: y + ROW / 2, width: PANEL, height: 0.5, colour: "#787878" }];
}

function scaleItems(ends: Ends, { limit, palette }: Head, x: number, y: number): Item[] {
  const end = plain(limit, 2);
  const text = (words: string, at: number, dy: number, anchor: Anchor, colour: string): Item => ({
    kind: "text",
    x: x + at * PANEL,
    y: y + dy,
    size: 12,
    text: cut(words, PANEL / 2 - 8, 12),
    colour,
    anchor,
    bold: false,
  });
  return [
    { kind: "ramp", x, y, width: PANEL, height: 12, palette },
    text(`−${end}`, 0, 28, "start", GREY),
    text("0", 0.5, 28, "middle", GREY),
    text(`+${end}`, 1, 28, "end", GREY),
    text(ends.negative, 0, 44, "start", css(-0.8, palette)),
    text(ends.positive, 1, 44, "end", css(0.8, palette)),
  ];
}

/** Short enough for a width, by the mean width of letters. */
export function cut(text: string, width: number, size: number): string {
  const most = Math.floor(width / (0.54 * size));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
