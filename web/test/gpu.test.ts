import { describe, expect, it } from "vitest";

import { Gpu, type Ask } from "../src/engine/gpu";
import type { Running } from "../src/engine/sessions";
import type { Answer } from "../src/engine/types";

const WASM = answerOf([1, -2, 0.5], 50);

function answerOf(values: number[], milliseconds: number): Answer {
  const map = { shape: [values.length], values: Float32Array.from(values) };
  const one = {
    target: 0,
    hostile: [],
    heatmap: map,
    relevance: map,
    input: null,
    layers: {},
    ledger: [],
    warnings: [],
  };
  return {
    scores: new Float32Array(1),
    probabilities: null,
    explained: [one],
    geometry: null,
    method: "rsp",
    provider: "",
    milliseconds,
  };
}

/** Judge a GPU that answers so; tell whether it is taken and how often it was started and released. */
async function judged(ask: Ask | null) {
  const counts = { started: 0, released: 0 };
  const session = { release: () => Promise.resolve(void (counts.released += 1)) };
  const running = { session, says: "WebGPU" } as unknown as Running;
  const gpu = new Gpu(() => {
    counts.started += 1;
    return Promise.resolve(ask ? running : null);
  });
  for (let i = 0; i < 2; i += 1) await gpu.judge("map.onnx", ask ?? (() => Promise.resolve(WASM)), WASM);
  return { ...counts, taken: gpu.of("map.onnx") === running };
}

describe("the GPU", () => {
  it("is taken where its map is that of WASM, and it is faster", async () => {
    const near = answerOf([1.001, -2, 0.499], 0);
    expect(await judged(() => Promise.resolve(near))).toEqual({ started: 1, released: 0, taken: true });
  });

  it("is not taken where its map is another", async () => {
    const off = answerOf([1.003, -2, 0.5], 0);
    expect(await judged(() => Promise.resolve(off))).toEqual({ started: 1, released: 1, taken: false });
    const broken = answerOf([NaN, -2, 0.5], 0);
    expect((await judged(() => Promise.resolve(broken))).taken).toBe(false);
  });

  it("is not taken where it is slower, or fails", async () => {
    const slow = () => new Promise<Answer>((done) => setTimeout(() => done(WASM), 60));
    expect((await judged(slow)).taken).toBe(false);
    expect((await judged(() => Promise.reject(new Error("lost")))).released).toBe(1);
  });

  it("is asked for once, also where there is none", async () => {
    expect(await judged(null)).toEqual({ started: 1, released: 0, taken: false });
  });
});
