import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import type { Preprocess } from "../src/engine/types";
import { roundHalfToEven } from "../src/preprocess/geometry";
import { problemOf } from "../src/preprocess/problem";
import { prepare, type Wanted } from "../src/preprocess/tensor";

interface Case {
  size: [number, number];
  preprocess: Preprocess;
  wanted: Wanted;
  box: number[];
  sha256: string;
}

const GOLDEN = JSON.parse(readFileSync("test/golden/preprocess.json", "utf-8")) as Case[];

/** The picture that Python's side makes in the same way. */
function picture([width, height]: [number, number]) {
  const bytes = Uint8Array.from({ length: width * height * 3 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
  return { width, height, channels: 3, bytes };
}

const nameOf = ({ size, preprocess: p, wanted: w }: Case): string =>
  `${size.join("×")} ${p.name} ${p.resize} ${p.interpolation} to ${w.layout} ${w.height}×${w.width} ${w.dtype}`;

describe("a photo becomes the tensor that Python makes, bit for bit", () => {
  it.each(GOLDEN.map((one) => [nameOf(one), one] as const))(
    "%s",
    (_, { size, preprocess, wanted, box, sha256 }) => {
      const made = prepare(picture(size), wanted, preprocess);
      expect(made.geometry.box).toEqual(box);
      const bytes = new Uint8Array(made.tensor.buffer, made.tensor.byteOffset, made.tensor.byteLength);
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
    },
  );
});

it("refuses channels a photo cannot fill, in one sentence", () => {
  const [first] = GOLDEN;
  if (!first) throw new Error("no golden case");
  const wanted = { ...first.wanted, channels: 5 };
  expect(() => prepare(picture([4, 4]), wanted, { ...first.preprocess, channels: null })).toThrow(
    /5 channels/,
  );
});

it("rounds halves to the even neighbour", () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6].map(roundHalfToEven)).toEqual([0, 2, 2, 0, -2, 2, 3]);
});

describe("what does not fit", () => {
  const [first] = GOLDEN;
  if (!first) throw new Error("no golden case");
  const { preprocess: how, wanted } = first;

  it("is a sentence", () => {
    const wrong: [Partial<Preprocess>, RegExp][] = [
      [{ size: [8, 8] }, /compiled for 24×24/],
      [{ channels: "L" }, /makes L pictures, but the model's input has 3 channels/],
      [{ scale: 0 }, /scale/],
      [{ mean: [1, 2] }, /mean must be one/],
      [{ std: [1, NaN, 1] }, /std must be one/],
      [{ std: [1, 0, 1] }, /std must be above 0/],
      [{ crop_fraction: 1.5 }, /crop/],
      [{ pad_value: 256 }, /margins/],
    ];
    for (const [change, says] of wrong) expect(problemOf({ ...how, ...change }, wanted)).toMatch(says);
  });

  it("is nothing of what the presets hold", () => {
    for (const { preprocess, wanted: w } of GOLDEN) expect(problemOf(preprocess, w)).toBeNull();
  });
});
