/** The page's pictures against Python's: `python.json` holds what rsp_onnx.render and rsp_onnx.inputs give. */

import { describe, expect, it } from "vitest";

import { colourTable } from "../../src/draw/colours";
import { layOnPhoto } from "../../src/draw/lay";
import { colourLimit } from "../../src/draw/limit";
import { valueAt } from "../../src/draw/lookup";
import { paintMap, paintOverlay, paleGrey, softLimit } from "../../src/draw/paint";
import { smooth } from "../../src/draw/smooth";
import type { Geometry } from "../../src/engine/types";
import python from "./python.json";

const map = { shape: python.map.shape, values: Float32Array.from(python.map.values) };
const { width, height } = python.smooth;
const plane = { width, height, values: Float32Array.from(python.smooth.values) };
const photo = Uint8ClampedArray.from(
  Array.from({ length: width * height }, (_, i) => [
    ...python.overlay.photo.slice(3 * i, 3 * i + 3),
    255,
  ]).flat(),
);

function far(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? NaN))), 0);
}

function rgbOf(rgba: Uint8ClampedArray): number[] {
  return Array.from(rgba).filter((_, i) => i % 4 !== 3);
}

describe("equal to Python", () => {
  it("has its colours", () => {
    const table = colourTable("red-blue");
    python.at.forEach((at, i) => {
      expect(Array.from(table.subarray(3 * at, 3 * at + 3))).toEqual(python.red_blue[i]);
    });
  });

  it("ends its colours at the same value", () => {
    expect(colourLimit(map.values)).toBeCloseTo(python.limit, 6);
    expect(colourLimit(map.values, 90)).toBeCloseTo(python.limit90, 6);
  });

  it.each(python.lays)("lays the map on a photo of $geometry.original", ({ geometry, values }) => {
    expect(far(layOnPhoto(map, geometry as Geometry).values, values)).toBeLessThan(2e-6);
  });

  it("reads under the cursor what lies on the photo", () => {
    const stretched = python.lays[2];
    const geometry = stretched?.geometry as Geometry;
    const [rows, columns] = geometry.original;
    for (let y = 0; y < rows; y += 1) {
      for (let x = 0; x < columns; x += 1) {
        const value = valueAt(map, geometry, { x: x + 0.5, y: y + 0.5 });
        expect(value).toBeCloseTo(stretched?.values[y * columns + x] ?? NaN, 5);
      }
    }
  });

  it("smooths", () => {
    expect(far(smooth(plane, python.smooth.sigma).values, python.smooth.soft)).toBeLessThan(2e-6);
  });

  it("paints maps", () => {
    const paint = { limit: colourLimit(plane.values), palette: "red-blue" as const, threshold: 0 };
    expect(far(rgbOf(paintMap(plane, paint)), python.overlay.map)).toBeLessThanOrEqual(1);
  });

  it("paints overlays", () => {
    const soft = smooth(plane, python.smooth.sigma);
    const limit = softLimit(soft, plane, colourLimit(plane.values));
    const over = paintOverlay(soft, { limit, palette: "red-blue", threshold: 0 }, 0.8);
    const grey = paleGrey(photo);
    const both = grey.map((g, i) => {
      const alpha = (over[i - (i % 4) + 3] ?? 0) / 255;
      return g * (1 - alpha) + (over[i] ?? 0) * alpha;
    });
    expect(far(rgbOf(both), python.overlay.pixels)).toBeLessThanOrEqual(2); // 8 bits of alpha, rounded twice
  });
});
