/** Relevance as colour, equal to `rsp_onnx/render/colours.py`: zero is white, both sides fall alike in lightness. */

export type Palette = "red-blue" | "blue-orange";
type Rgb = readonly [number, number, number];

const WHITE: Rgb = [255, 255, 255];
// sRGB at |value| / limit = 0, 1/4, 1/2, 3/4, 1
const RED: readonly Rgb[] = [WHITE, [253, 196, 178], [245, 122, 100], [217, 40, 44], [145, 0, 24]];
const BLUE: readonly Rgb[] = [WHITE, [186, 208, 250], [116, 156, 242], [50, 92, 214], [12, 32, 140]];
// for eyes that confuse red with green or with dark blue; its lightness is that of the reds
const ORANGE: readonly Rgb[] = [WHITE, [252, 203, 148], [232, 139, 42], [178, 86, 0], [104, 44, 0]];

const SIDES: Record<Palette, { positive: readonly Rgb[]; negative: readonly Rgb[] }> = {
  "red-blue": { positive: RED, negative: BLUE },
  "blue-orange": { positive: ORANGE, negative: BLUE },
};

export const LEVELS = 255; // on each side of white

const tables = new Map<Palette, Uint8Array>();

/** All colours from the strongest negative over white to the strongest positive, RGB behind each other. */
export function colourTable(palette: Palette): Uint8Array {
  const known = tables.get(palette);
  if (known) return known;
  const table = makeTable(palette);
  tables.set(palette, table);
  return table;
}

function makeTable(palette: Palette): Uint8Array {
  const { positive, negative } = SIDES[palette];
  const anchors = [...[...negative].reverse(), ...positive.slice(1)];
  const table = new Uint8Array(3 * (2 * LEVELS + 1));
  for (let i = 0; i <= 2 * LEVELS; i += 1) {
    const place = (i / (2 * LEVELS)) * (anchors.length - 1);
    const low = Math.min(Math.floor(place), anchors.length - 2);
    for (let c = 0; c < 3; c += 1) {
      const from = anchors[low]?.[c] ?? 0;
      const to = anchors[low + 1]?.[c] ?? 0;
      table[3 * i + c] = halfToEven(from + (to - from) * (place - low));
    }
  }
  return table;
}

/** Round as numpy does, so that not one colour differs from Python's. */
export function halfToEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** Where the colour of a signed share -1..1 of the limit stands in `colourTable`. */
export function place(share: number): number {
  const clipped = Math.max(-1, Math.min(1, share));
  return 3 * (halfToEven(clipped * LEVELS) + LEVELS);
}

/** The colour of a signed share as `rgb(...)`. */
export function css(share: number, palette: Palette): string {
  const table = colourTable(palette);
  const at = place(share);
  return `rgb(${table[at] ?? 0} ${table[at + 1] ?? 0} ${table[at + 2] ?? 0})`;
}

/** Never the pale end, which would not be seen on white: bars and chips. */
export function strongCss(share: number, palette: Palette): string {
  return css(Math.sign(share) * 0.25 + 0.75 * share, palette);
}

/** The scale from the strongest negative to the strongest positive, for a style sheet or an SVG. */
export function scaleStops(palette: Palette): { offset: number; colour: string }[] {
  return Array.from({ length: 9 }, (_, i) => ({ offset: i / 8, colour: css(i / 4 - 1, palette) }));
}

/** Black or white, whichever is read better on the colour of a share. */
export function inkOn(share: number, palette: Palette): string {
  const table = colourTable(palette);
  const at = place(Math.sign(share) * 0.25 + 0.75 * share);
  const parts = [0, 1, 2].map((c) => linear((table[at + c] ?? 0) / 255));
  const luminance = 0.2126 * (parts[0] ?? 0) + 0.7152 * (parts[1] ?? 0) + 0.0722 * (parts[2] ?? 0);
  return luminance > 0.179 ? "#000" : "#fff"; // where the contrast with both is the same (WCAG 2)
}

function linear(channel: number): number {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}
