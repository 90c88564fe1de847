/** Pictures against values worked out by hand. */

import { describe, expect, it } from "vitest";

import { css, halfToEven, inkOn, scaleStops } from "../../src/draw/colours";
import { contoursOf, pathOf } from "../../src/draw/contours";
import { layOnPhoto, ofLayer, shrunk } from "../../src/draw/lay";
import { colourLimit, percentile, sharedLimit } from "../../src/draw/limit";
import { pixelAt, valueAt } from "../../src/draw/lookup";
import { bytes, percent, plain, shapeWords, signed } from "../../src/draw/numbers";
import { paintMap, paintOverlay } from "../../src/draw/paint";
import type { Geometry } from "../../src/engine/types";

// a letterbox: a photo of 2 × 4 pixels in a tensor of 2 × 2, so that each tensor pixel spans 2 photo pixels
const letterbox: Geometry = { original: [2, 4], tensor: [2, 2], box: [0, -1, 4, 3] };

describe("colour", () => {
  it("is white at zero and swaps sides with the sign", () => {
    expect(css(0, "red-blue")).toBe("rgb(255 255 255)");
    expect(css(1, "red-blue")).toBe("rgb(145 0 24)");
    expect(css(-1, "blue-orange")).toBe("rgb(12 32 140)");
    expect(css(7, "blue-orange")).toBe(css(1, "blue-orange"));
  });

  it("has a scale symmetric about white", () => {
    const stops = scaleStops("red-blue");
    expect(stops.map((s) => s.offset)).toEqual([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]);
    expect(stops[4]?.colour).toBe("rgb(255 255 255)");
  });

  it("rounds halves to even", () => {
    expect([0.5, 1.5, 2.5, -1.5, 2.4].map(halfToEven)).toEqual([0, 2, 2, -2, 2]);
  });

  it("writes white on the dark end and black on the pale one", () => {
    expect(inkOn(1, "red-blue")).toBe("#fff");
    expect(inkOn(0.05, "red-blue")).toBe("#000");
  });
});

describe("limit", () => {
  it("interpolates between ranks", () => {
    expect(percentile(Float32Array.of(4, 1, 3, 2), 50)).toBe(2.5);
    expect(percentile(new Float32Array(0), 50)).toBe(0);
  });

  it("takes sizes, falls back to the largest, and is never zero", () => {
    expect(colourLimit(Float32Array.of(-3, 1), 100)).toBe(3);
    const one = new Float32Array(1000);
    one[7] = -5;
    expect(colourLimit(one)).toBe(5);
    expect(colourLimit(new Float32Array(4))).toBe(1);
  });

  it("is shared by all maps unless it is locked", () => {
    expect(sharedLimit([1, 4, 2], null)).toBe(4);
    expect(sharedLimit([1, 4, 2], 0.5)).toBe(0.5);
    expect(sharedLimit([], null)).toBe(1);
  });
});

describe("laying", () => {
  const map = { shape: [2, 2], values: Float32Array.of(1, 2, 3, 4) };

  it("interpolates between the centres of pixels", () => {
    const wide: Geometry = { original: [2, 4], tensor: [2, 2], box: [0, 0, 4, 2] };
    expect(Array.from(layOnPhoto(map, wide).values)).toEqual([1, 1.25, 1.75, 2, 3, 3.25, 3.75, 4]);
  });

  it("drops what lies on a margin and leaves 0 where nothing was seen", () => {
    const cropped: Geometry = { original: [2, 4], tensor: [2, 2], box: [1, 0, 3, 2] };
    expect(Array.from(layOnPhoto(map, cropped).values)).toEqual([0, 1, 2, 0, 0, 3, 4, 0]);
  });

  it("means over pixels where the photo is coarser", () => {
    const coarse: Geometry = { original: [1, 1], tensor: [2, 2], box: [0, 0, 1, 1] };
    expect(Array.from(layOnPhoto(map, coarse).values)).toEqual([2.5]);
  });

  it("shrinks photo and box alike, and never enlarges", () => {
    const big: Geometry = { original: [1000, 2000], tensor: [2, 2], box: [0, -500, 2000, 1500] };
    expect(shrunk(big, 500)).toEqual({ original: [250, 500], tensor: [2, 2], box: [0, -125, 500, 375] });
    expect(shrunk(letterbox, 500)).toEqual(letterbox);
    expect(ofLayer(big, [7, 7]).tensor).toEqual([7, 7]);
  });
});

describe("value under the cursor", () => {
  const map = { shape: [2, 2], values: Float32Array.of(1, 2, 3, 4) };

  it("is bilinear inside and null outside of photo or tensor", () => {
    expect(valueAt(map, letterbox, { x: 2, y: 1 })).toBe(2.5);
    expect(valueAt(map, letterbox, { x: 0, y: 0 })).toBe(1);
    expect(valueAt(map, letterbox, { x: 4, y: 1 })).toBeNull();
    expect(valueAt(map, letterbox, { x: 1, y: -0.5 })).toBeNull();
    const cropped: Geometry = { original: [2, 4], tensor: [2, 2], box: [1, 0, 3, 2] };
    expect(valueAt(map, cropped, { x: 0.5, y: 1 })).toBeNull();
  });

  it("names the tensor's pixel", () => {
    expect(pixelAt(letterbox, { x: 3, y: 1.5 })).toEqual([1, 1]);
    expect(pixelAt(letterbox, { x: 5, y: 1 })).toBeNull();
  });
});

describe("painting", () => {
  const plane = { width: 3, height: 1, values: Float32Array.of(-2, 0.5, 9) };
  const paint = { limit: 2, palette: "red-blue" as const, threshold: 0.5 };

  it("leaves out what is below the threshold", () => {
    const alphas = Array.from(paintMap(plane, paint)).filter((_, i) => i % 4 === 3);
    expect(alphas).toEqual([255, 0, 255]);
  });

  it("is as opaque as the share, with the given opacity at the limit and beyond", () => {
    const over = paintOverlay(plane, { ...paint, threshold: 0 }, 0.6);
    const alphas = Array.from(over).filter((_, i) => i % 4 === 3);
    expect(alphas).toEqual([153, Math.round(255 * 0.6 * 0.25 ** 0.75), 153]);
  });
});

describe("contours", () => {
  it("has a set for each sign, closed around its hill", () => {
    const values = new Float32Array(49);
    values[7 * 3 + 1] = 1;
    values[7 * 3 + 5] = -1;
    const found = contoursOf({ width: 7, height: 7, values }, 1);
    expect(found.map((c) => c.share)).toEqual([0.2, 0.4, 0.6, 0.8, -0.2, -0.4, -0.6, -0.8]);
    const xs = found.map((c) => (c.rings[0] ?? []).map(([x]) => x));
    expect(Math.max(...(xs[0] ?? []))).toBeLessThan(3.5);
    expect(Math.min(...(xs[4] ?? []))).toBeGreaterThan(3.5);
    // linear between the pixel centres 1.5 and 2.5: 0.2 lies at 2.3
    expect(Math.max(...(xs[0] ?? []))).toBeCloseTo(2.3, 6);
  });

  it("obeys the threshold and draws nothing of nothing", () => {
    const flat = { width: 3, height: 3, values: new Float32Array(9) };
    expect(contoursOf(flat, 1)).toEqual([]);
    const hill = { width: 3, height: 3, values: Float32Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0) };
    expect(contoursOf(hill, 1, 0.5).map((c) => c.share)).toEqual([0.6, 0.8]);
  });

  it("writes paths", () => {
    expect(
      pathOf(
        [
          [
            [0, 1],
            [2, 3],
          ],
        ],
        2,
      ),
    ).toBe("M0.0,2.0L4.0,6.0Z");
  });
});

describe("numbers", () => {
  it("are short, with a real minus", () => {
    expect(signed(-0.01234)).toBe("−0.012");
    expect(signed(3.456, 3)).toBe("+3.46");
    expect([signed(0), signed(NaN)]).toEqual(["0", "NaN"]);
    expect(plain(0.0000123)).toBe("1.23e−5");
    expect(plain(12345678)).toBe("1.23e7");
    expect(plain(-2)).toBe("−2");
  });

  it("says shares, sizes and shapes", () => {
    expect([percent(0), percent(0.0004), percent(0.931)]).toEqual([
      "0.0\u00a0%",
      "<\u00a00.1\u00a0%",
      "93.1\u00a0%",
    ]);
    expect([bytes(12), bytes(3400), bytes(14_036_897)]).toEqual(["12 B", "3.4 kB", "14.0 MB"]);
    expect(shapeWords(["N", 3, null])).toBe("N × 3 × ?");
    expect(shapeWords([])).toBe("scalar");
  });
});
