/** The state of the page, without a page. */

import { describe, expect, it } from "vitest";

import {
  MOST_ZOOM,
  reduce,
  START,
  WHOLE,
  zoomedAbout,
  type Action,
  type View,
} from "../../src/page/state/view";

const predicted = 7;

function after(...actions: Action[]): View {
  return actions.reduce(reduce, { ...START, model: "a" });
}

describe("targets and rivals", () => {
  it("begin with what is predicted", () => {
    expect(START.targets).toEqual([]);
    expect(after({ type: "target", index: 3 }, { type: "predicted" }).targets).toEqual([]);
  });

  it("name the predicted class once a rival stands against it", () => {
    const view = after({ type: "rival", index: 3, predicted });
    expect([view.targets, view.rivals]).toEqual([[7], [3]]);
  });

  it("never hold a class against itself", () => {
    expect(after({ type: "rival", index: 7, predicted }).rivals).toEqual([]);
    const view = after({ type: "rival", index: 3, predicted }, { type: "target", index: 3 });
    expect([view.targets, view.rivals]).toEqual([[3], []]);
    const beside = after({ type: "rival", index: 3, predicted }, { type: "beside", index: 3, predicted });
    expect([beside.targets, beside.rivals]).toEqual([[7, 3], []]);
  });

  it("take several rivals, and each away again", () => {
    const two = after({ type: "rival", index: 3, predicted }, { type: "rival", index: 4, predicted });
    expect(two.rivals).toEqual([3, 4]);
    expect(reduce(two, { type: "rival", index: 3, predicted }).rivals).toEqual([4]);
  });

  it("swap the first of both, and swapping twice is nothing", () => {
    const view = after(
      { type: "target", index: 1 },
      { type: "rival", index: 3, predicted },
      { type: "rival", index: 4, predicted },
    );
    const swapped = reduce(view, { type: "swap", predicted });
    expect([swapped.targets, swapped.rivals]).toEqual([[3], [1, 4]]);
    expect(reduce(swapped, { type: "swap", predicted })).toEqual(view);
    expect(reduce(START, { type: "swap", predicted })).toBe(START);
  });

  it("show at most four beside each other", () => {
    const five = [1, 2, 3, 4, 5].map((index): Action => ({ type: "beside", index, predicted }));
    expect(after(...five).targets).toEqual([7, 1, 2, 3]);
  });
});

describe("methods and models", () => {
  it("keep at least one and at most four methods, the main one among them", () => {
    const toggle = (name: string): Action => ({ type: "toggle-method", name });
    expect(after(toggle("a"), toggle("b"), toggle("c"), toggle("d")).methods).toEqual(["rsp", "a", "b", "c"]);
    expect(after(toggle("rsp")).methods).toEqual([]);
    expect(after(toggle("a"), toggle("rsp"))).toMatchObject({ method: "a", methods: ["a"] });
    expect(after(toggle("a"), { type: "method", name: "z" }).methods).toEqual(["z", "a"]);
  });

  it("forget classes and layer with another model, but keep a method it has", () => {
    const set: Action = { type: "set", values: { layer: "conv1" } };
    const view = after({ type: "target", index: 1 }, set, { type: "model", id: "b", methods: ["rsp"] });
    expect(view).toMatchObject({ model: "b", method: "rsp", targets: [], layer: null });
    expect(reduce(view, { type: "model", id: "c", methods: ["x", "y"] }).method).toBe("x");
  });

  it("compare with another model, and stop when that one is shown", () => {
    const both = after({ type: "other", id: "b" });
    expect(both.comparison).toBe("models");
    const only = reduce(both, { type: "model", id: "b", methods: [] });
    expect(only).toMatchObject({ other: null, comparison: "classes" });
    expect(reduce(both, { type: "other", id: null }).comparison).toBe("classes");
  });
});

describe("zoom", () => {
  it("never leaves the picture", () => {
    const zoom = (scale: number, x: number, y: number) => after({ type: "zoom", zoom: { scale, x, y } }).zoom;
    expect(zoom(0.2, 0, 1)).toEqual(WHOLE);
    expect(zoom(2, 0, 1)).toEqual({ scale: 2, x: 0.25, y: 0.75 });
    expect(zoom(1000, 0.5, 0.5).scale).toBe(MOST_ZOOM);
  });

  it("keeps the point under the pointer where it is", () => {
    // the point at 0.25 of the picture is at 0.25 of the frame; enlarged twice it must still be there
    const zoom = zoomedAbout(WHOLE, 2, { x: 0.25, y: 0.25 });
    const left = zoom.x - 0.5 / zoom.scale;
    expect((0.25 - left) * zoom.scale).toBeCloseTo(0.25, 12);
    expect(zoomedAbout(zoom, 0.5, { x: 0.25, y: 0.25 })).toEqual(WHOLE);
  });
});

describe("the state", () => {
  it("is never changed in place", () => {
    const frozen = Object.freeze({
      ...START,
      targets: Object.freeze([1]) as number[],
      rivals: Object.freeze([2]) as number[],
    });
    const actions: Action[] = [
      { type: "beside", index: 4, predicted },
      { type: "rival", index: 5, predicted },
      { type: "swap", predicted },
      { type: "toggle-method", name: "x" },
      { type: "set", values: { opacity: 0.1 } },
      { type: "restore", view: START },
    ];
    for (const action of actions) expect(() => reduce(frozen, action)).not.toThrow();
  });
});
