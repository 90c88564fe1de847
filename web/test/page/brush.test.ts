import { describe, expect, it } from "vitest";

import type { Answer, Geometry } from "../../src/engine/types";
import {
  brushed,
  discsOf,
  mapWords,
  scoreWords,
  shareUnder,
  type Stroke,
} from "../../src/page/brush/strokes";

const stroke: Stroke = { paint: "grey", radius: 0.25, points: [{ x: 0.25, y: 0.5 }] };

describe("strokes", () => {
  it("begin, go on, and are taken away", () => {
    const one = brushed([], { type: "begin", stroke });
    const two = brushed(one, { type: "go", x: 0.5, y: 0.5 });
    expect(two[0]?.points).toHaveLength(2);
    expect(one[0]?.points).toHaveLength(1);
    expect(brushed(brushed(two, { type: "begin", stroke }), { type: "undo" })).toEqual(two);
    expect(brushed(two, { type: "reset" })).toEqual([]);
    expect(brushed([], { type: "go", x: 0, y: 0 })).toEqual([]);
  });

  it("are discs without gaps, their size by the shorter side", () => {
    expect(discsOf(stroke, 100, 40)).toEqual([{ x: 25, y: 20, radius: 10 }]);
    const long = { ...stroke, points: [...stroke.points, { x: 0.75, y: 0.5 }] };
    const discs = discsOf(long, 100, 40);
    expect(discs).toHaveLength(11); // 50 pixels in steps of half a radius
    expect(discs.at(-1)).toEqual({ x: 75, y: 20, radius: 10 });
  });

  it("hold a share of what speaks for the class", () => {
    const geometry: Geometry = { original: [40, 80], tensor: [2, 4], box: [0, 0, 80, 40] };
    // centres at x = 10, 30, 50, 70 and y = 10, 30; the disc about (20, 20) of radius 15 covers the left four
    const map = { shape: [2, 4], values: Float32Array.of(1, 2, 5, 0, 3, -9, 0, 5) };
    const left: Stroke = { paint: "blur", radius: 0.375, points: [{ x: 0.25, y: 0.5 }] };
    expect(shareUnder(map, geometry, [left])).toBeCloseTo(6 / 16, 6);
    expect(shareUnder(map, geometry, [])).toBe(0);
    expect(shareUnder({ shape: [2, 4], values: new Float32Array(8) }, geometry, [left])).toBe(0);
  });
});

describe("the outcome in words", () => {
  const answer = (scores: number[], probabilities: number[]): Answer => ({
    scores: Float32Array.from(scores),
    probabilities: Float32Array.from(probabilities),
    explained: [],
    geometry: null,
    method: "",
    provider: "",
    milliseconds: 0,
  });

  it("says score and rank before and after", () => {
    const words = scoreWords(answer([3, 1], [0.9, 0.1]), answer([0.5, 1], [0.4, 0.6]), 0);
    expect(words).toBe("90.0\u00a0% before, 40.0\u00a0% after (score −2.5); rank 1 before, 2 after.");
  });

  it("says what became of the map", () => {
    const map = (...values: number[]) => ({ shape: [values.length], values: Float32Array.from(values) });
    expect(mapWords(map(2, -0.5), map(1), 0.375)).toBe(
      "The painted part held 37.5\u00a0% of what spoke for the class. The sum of the map was +1.5 and is +1.",
    );
  });
});
