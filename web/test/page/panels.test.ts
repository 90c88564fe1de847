import { describe, expect, it } from "vitest";

import { demoModel } from "../../src/engine/demo-models";
import { layerRequest, panelsOf, requestsOf, type Subject } from "../../src/page/state/panels";
import { START, type View } from "../../src/page/state/view";

const a = demoModel("a", "a.onnx", ["cat", "dog", "bird"]);
const b = demoModel("b", "b.onnx", ["bird", "fish", "cat"]);
const subject: Subject = { models: [a, b], image: "i", edited: null, predicted: 1 };

function panels(values: Partial<View>, more: Partial<Subject> = {}) {
  return panelsOf({ ...START, model: "a", ...values }, { ...subject, ...more });
}

describe("panels", () => {
  it("are none without a model or picture", () => {
    expect(panels({ model: null })).toEqual([]);
    expect(panels({}, { image: null })).toEqual([]);
  });

  it("ask about the predicted class as long as none is chosen", () => {
    expect(panels({}).map((p) => p.request.targets)).toEqual(["auto"]);
    expect(panels({})[0]?.title).toBe("dog");
    expect(panels({}, { predicted: null })[0]?.title).toBe("the predicted class");
  });

  it("ask once for several classes", () => {
    const shown = panels({ targets: [0, 2], rivals: [1] });
    expect(shown.map((p) => [p.title, p.place])).toEqual([
      ["cat", 0],
      ["bird", 1],
    ]);
    expect(requestsOf(shown)).toEqual([
      { model: "a", image: "i", method: "rsp", targets: [0, 2], hostile: [1], tensors: [], ledger: false },
    ]);
  });

  it("send no rivals to a method that knows none, and say so", () => {
    const [one] = panels({ method: "gradient", targets: [0], rivals: [1] });
    expect(one?.request.hostile).toEqual([]);
    expect(one?.note).toMatch(/knows no rivals/);
    const both = panels({ comparison: "methods", methods: ["rsp", "gradient"], targets: [0], rivals: [1] });
    expect(both.map((p) => p.request.hostile)).toEqual([[1], []]);
    expect(both.map((p) => p.note !== null)).toEqual([false, true]);
  });

  it("find the class in the other model by label, else by number, and say which", () => {
    const at = (target: number) => panels({ comparison: "models", other: "b", targets: [target] })[1];
    expect(at(0)).toMatchObject({ request: { model: "b", targets: [2] }, note: null });
    expect(at(1)).toMatchObject({ request: { targets: [1] } });
    expect(at(1)?.note).toBe("No label says which class of b.onnx is dog: class 1 by number.");
  });

  it("wait with the other model until the first has predicted", () => {
    expect(panels({ comparison: "models", other: "b" }, { predicted: null })).toHaveLength(1);
    expect(panels({ comparison: "models", other: "b" })[1]?.request.targets).toEqual([1]);
  });

  it("show what the other model predicts where it has no such class", () => {
    const few = demoModel("c", "c.onnx", ["x"]);
    const shown = panels({ comparison: "models", other: "c", targets: [2] }, { models: [a, few] });
    expect(shown[1]).toMatchObject({ request: { targets: "auto" } });
    expect(shown[1]?.note).toMatch(/has no class bird/);
  });

  it("hold the same class before and after painting, whatever is predicted then", () => {
    const shown = panels({ comparison: "brush" }, { edited: "e" });
    expect(shown.map((p) => [p.request.image, p.request.targets])).toEqual([
      ["i", [1]],
      ["e", [1]],
    ]);
    expect(panels({ comparison: "brush" })).toHaveLength(1);
    expect(panels({ comparison: "brush" }, { edited: "e", predicted: null })).toHaveLength(1);
  });

  it("ask about layers apart from maps", () => {
    const [one] = panels({ targets: [0] });
    expect(one && layerRequest(one, "conv1")).toEqual({ ...one?.request, tensors: ["conv1"], ledger: true });
  });
});
