import { describe, expect, it } from "vitest";

import { demoModel } from "../../src/engine/demo-models";
import type { Answer, MethodFacts } from "../../src/engine/types";
import {
  endsOf,
  MOST_HITS,
  nameOf,
  notPredicted,
  predictedOf,
  ranked,
  rankOf,
  sameClass,
  search,
  valueKind,
  valueWords,
} from "../../src/page/state/classes";

const labels = ["cat", "dog", "tiger cat", ""];
const model = demoModel("a", "a.onnx", labels);
const answer: Answer = {
  scores: Float32Array.of(1, 3, 2, 2),
  probabilities: Float32Array.of(0.1, 0.5, 0.2, 0.2),
  explained: [],
  geometry: null,
  method: "rsp",
  provider: "",
  milliseconds: 0,
};
const method = (values: Partial<MethodFacts>): MethodFacts => ({
  name: "m",
  title: "",
  paper: "",
  note: "",
  compares: true,
  signed: true,
  ...values,
});

describe("classes", () => {
  it("are named by their label, else by their number", () => {
    expect([0, 3, 9].map((i) => nameOf(model, i))).toEqual(["cat", "class 3", "class 9"]);
    expect(nameOf(undefined, 2)).toBe("class 2");
  });

  it("are ranked, equal scores in their order", () => {
    expect(ranked(answer.scores)).toEqual([1, 2, 3, 0]);
    expect([0, 1, 2, 3].map((i) => rankOf(answer.scores, i))).toEqual([4, 1, 2, 3]);
    expect(predictedOf(answer)).toBe(1);
    expect(predictedOf({ ...answer, scores: Float32Array.of(-5, -2, -2) })).toBe(1);
  });

  it("are found by all words of a search, best first, and by number", () => {
    expect(search(model, answer.scores, "CAT").indices).toEqual([2, 0]);
    expect(search(model, answer.scores, "cat tig").indices).toEqual([2]);
    expect(search(model, answer.scores, "1").indices).toEqual([1]);
    expect(search(model, answer.scores, "bird")).toEqual({ indices: [], total: 0 });
  });

  it("list ten at first, and at most fifty hits of more", () => {
    const many = demoModel(
      "b",
      "b.onnx",
      Array.from({ length: 80 }, (_, i) => `kind ${i}`),
    );
    expect(search(many, new Float32Array(80), "").indices).toHaveLength(10);
    const hits = search(many, new Float32Array(80), "kind");
    expect([hits.indices.length, hits.total]).toEqual([MOST_HITS, 80]);
  });

  it("say what their numbers are", () => {
    expect([valueWords(answer, 1), valueKind(model, answer)]).toEqual(["50.0\u00a0%", "probability"]);
    const plain = { ...answer, probabilities: null };
    expect(valueWords(plain, 1)).toBe("3");
    expect(valueKind({ ...model, scoreKind: "logits" }, plain)).toBe("logit");
    expect(valueKind({ ...model, scoreKind: "" }, plain)).toBe("score");
    expect(valueKind({ ...model, scoreKind: "sigmoid" }, answer)).toBe("probability of each class alone");
  });

  it("warn where they are not what the model predicts", () => {
    expect(notPredicted(model, answer, 1)).toBeNull();
    expect(notPredicted(model, answer, 0)).toBe("cat has rank 4 of 4; the model predicts dog (50.0\u00a0%).");
  });

  it("are the same in another model by label, else by number, else not at all", () => {
    const other = demoModel("b", "b.onnx", ["x", "Dog ", "y"]);
    expect(sameClass(model, other, 1)).toEqual({ index: 1, by: "label" });
    expect(sameClass(model, other, 2)).toEqual({ index: 2, by: "number" });
    expect(sameClass(model, other, 3)).toBeNull();
  });
});

describe("the ends of a scale", () => {
  it("name rivals only where the method knows them", () => {
    expect(endsOf(method({}), "dog", "cat")).toEqual({ negative: "for cat", positive: "for dog" });
    const alone = { negative: "speaks against dog", positive: "speaks for dog" };
    expect(endsOf(method({}), "dog", "")).toEqual(alone);
    expect(endsOf(method({ compares: false }), "dog", "cat")).toEqual(alone);
  });

  it("speak of influence where the sign says nothing", () => {
    expect(endsOf(method({ signed: false }), "dog", "")).toEqual({
      negative: "not used",
      positive: "influence on dog",
    });
  });
});
