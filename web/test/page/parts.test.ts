/** Small parts that need no page: fields of preprocessing, lines, keys, files. */

import { describe, expect, it } from "vitest";

import { demoModel } from "../../src/engine/demo-models";
import { changesOf, fieldsOf } from "../../src/page/model/preprocess-fields";
import { keyed, toFrame, toPicture } from "../../src/page/stage/gestures";
import { piecesOf } from "../../src/page/stage/lines";
import { sorted } from "../../src/page/state/files";
import { START } from "../../src/page/state/view";

const preprocess = demoModel("a", "a.onnx", null).preprocess;
if (!preprocess) throw new Error("a photo model");
const fields = fieldsOf(preprocess);

describe("preprocessing as text", () => {
  it("comes back as it was", () => {
    const { values, error } = changesOf(fields);
    expect(error).toBe("");
    expect({ ...values, name: preprocess.name, source: preprocess.source }).toEqual(preprocess);
  });

  it("takes fractions, and several ways to write a size", () => {
    expect(changesOf({ ...fields, scale: "1/255" }).values.scale).toBe(1 / 255);
    for (const size of ["224 × 192", "224x192", "224, 192"]) {
      expect(changesOf({ ...fields, size }).values.size).toEqual([224, 192]);
    }
    expect(changesOf({ ...fields, size: "" }).values.size).toBeNull();
  });

  it.each([
    [{ size: "224" }, "The size is height × width"],
    [{ size: "0 × 3" }, "whole numbers above 0"],
    [{ scale: "a" }, "“a” is no number (scale)"],
    [{ pad_value: "" }, "“” is no number (pad_value)"],
    [{ mean: "1, x" }, "“1, x” must be numbers"],
    [{ std: "" }, "must be numbers"],
    [{ std: "1, 0" }, "divide by zero"],
  ])("says what cannot be read in %o", (values, words) => {
    expect(changesOf({ ...fields, ...values }).error).toContain(words);
  });
});

describe("a line", () => {
  it("has a piece per step, coloured by the strongest within", () => {
    const pieces = piecesOf(Float32Array.of(0, 1, 0.5), Float32Array.of(0.5, -4, 0), 2);
    expect(pieces.map((p) => p.share)).toEqual([0.25, -1]);
    expect(pieces[0]?.points).toEqual([
      [0, 1],
      [0.5, 0],
    ]);
  });

  it("has at most 400 pieces, which meet", () => {
    const pieces = piecesOf(new Float32Array(10_001), new Float32Array(10_001), 1);
    expect(pieces.length).toBeLessThanOrEqual(400);
    expect(pieces[0]?.points.at(-1)).toEqual(pieces[1]?.points[0]);
    expect(pieces.at(-1)?.points.at(-1)?.[0]).toBe(1);
  });
});

describe("keys and pointers", () => {
  it("pan by a tenth of what is seen, zoom about the centre, and reset", () => {
    const zoom = { scale: 2, x: 0.5, y: 0.5 };
    expect(keyed("ArrowLeft", zoom)).toEqual({ scale: 2, x: 0.45, y: 0.5 });
    expect(keyed("ArrowDown", zoom)).toEqual({ scale: 2, x: 0.5, y: 0.55 });
    expect(keyed("+", zoom)).toEqual({ scale: 2.5, x: 0.5, y: 0.5 });
    expect(keyed("-", zoom)?.scale).toBe(1.6);
    expect(keyed("0", zoom)).toEqual(START.zoom);
    expect(keyed("a", zoom)).toBeNull();
  });

  it("go from frame to picture and back", () => {
    const zoom = { scale: 4, x: 0.3, y: 0.7 };
    const at = toPicture({ x: 0, y: 1 }, zoom);
    expect(at.x).toBeCloseTo(0.175, 12);
    expect(at.y).toBeCloseTo(0.825, 12);
    expect(toFrame(at, zoom).y).toBeCloseTo(1, 12);
  });
});

describe("files", () => {
  it("are told apart by their names", () => {
    const names = ["a.ONNX", "labels.txt", "view.json", "dog.JPG", "x.npy", "noname"];
    const found = sorted(names.map((name) => new File([], name)));
    expect(found.models.map((f) => f.name)).toEqual(["a.ONNX"]);
    expect(found.texts.map((f) => f.name)).toEqual(["labels.txt", "view.json"]);
    expect(found.pictures.map((f) => f.name)).toEqual(["dog.JPG", "x.npy", "noname"]);
  });
});
