/** Pictures of the demo engine: painted here, so that the page can be tried without a file. */

import { zlibSync } from "fflate";

export interface Pixels {
  width: number;
  height: number;
  /** RGBA. */
  data: Uint8ClampedArray;
}

type Shade = (x: number, y: number) => [number, number, number];

function disc(x: number, y: number, cx: number, cy: number, radius: number): number {
  return Math.max(0, Math.min(1, (radius - Math.hypot(x - cx, y - cy)) * 40));
}

function mixed(from: [number, number, number], to: [number, number, number], share: number) {
  return from.map((a, i) => a + ((to[i] ?? 0) - a) * share) as [number, number, number];
}

const SHADES: Record<string, Shade> = {
  "red and blue": (x, y) => {
    const wall = mixed([196, 188, 176], [150, 142, 132], y);
    const withRed = mixed(wall, [212, 40, 36], disc(x, y, 0.3, 0.42, 0.22));
    return mixed(withRed, [36, 72, 204], disc(x, y, 0.72, 0.6, 0.2));
  },
  "green field": (x, y) =>
    y < 0.45 ? [150, 190, 232] : mixed([70, 140, 50], [120, 176, 66], (Math.sin(x * 30 + y * 40) + 1) / 2),
};

export const PICTURES = Object.keys(SHADES);

export function paintPicture(name: string, width = 320, height = 240): Pixels {
  const shade = SHADES[name] ?? (() => [128, 128, 128] as [number, number, number]);
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i += 1) {
    const [r, g, b] = shade((i % width) / width, Math.floor(i / width) / height);
    data.set([r, g, b, 255], 4 * i);
  }
  return { width, height, data };
}

/** A picture as the data URI of a PNG. */
export function pngUri(pixels: Pixels): string {
  const text = Array.from(encodePng(pixels), (byte) => String.fromCharCode(byte)).join("");
  return `data:image/png;base64,${btoa(text)}`;
}

/** PNG, 8 bits RGBA, no filter (PNG specification, third edition). */
export function encodePng({ width, height, data }: Pixels): Uint8Array<ArrayBuffer> {
  const rows = new Uint8Array(height * (4 * width + 1));
  for (let y = 0; y < height; y += 1) {
    rows.set(data.subarray(4 * width * y, 4 * width * (y + 1)), y * (4 * width + 1) + 1);
  }
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, 6, 0, 0, 0], 8);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", head),
    chunk("IDAT", zlibSync(rows)),
    chunk("IEND", new Uint8Array(0)),
  ];
  return Uint8Array.from(parts.flatMap((part) => Array.from(part)));
}

function chunk(kind: string, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(body.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  out.set(new TextEncoder().encode(kind), 4);
  out.set(body, 8);
  view.setUint32(body.length + 8, crc(out.subarray(4, body.length + 8)));
  return out;
}

function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let k = 0; k < 8; k += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return (value ^ 0xffffffff) >>> 0;
}
