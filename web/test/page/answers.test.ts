import { describe, expect, it } from "vitest";

import { DemoEngine } from "../../src/engine/demo";
import { EngineError, type Answer, type ExplainRequest } from "../../src/engine/types";
import { Answers } from "../../src/page/state/answers";

const ask = (target: number): ExplainRequest => ({
  model: "a",
  image: "i",
  method: "rsp",
  targets: [target],
  hostile: [],
  tensors: [],
  ledger: false,
});

/** An engine whose answers come when the test says so. */
class Slow extends DemoEngine {
  asked: number[] = [];
  aborted: number[] = [];
  finish: (fails?: string) => void = () => undefined;

  override explain(
    request: ExplainRequest,
    onProgress: Parameters<DemoEngine["explain"]>[1],
    signal: AbortSignal,
  ) {
    const target = request.targets[0] as number;
    this.asked.push(target);
    onProgress({ says: "Compiling", share: 0.5 });
    signal.addEventListener("abort", () => this.aborted.push(target));
    return new Promise<Answer>((resolve, reject) => {
      this.finish = (fails) => {
        if (fails !== undefined) reject(new EngineError(fails));
        else resolve({ scores: Float32Array.of(target) } as Answer);
      };
    });
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
}

function both(): [Slow, Answers] {
  const engine = new Slow();
  return [engine, new Answers(engine, () => undefined)];
}

describe("answers", () => {
  it("come one at a time and are kept", async () => {
    const [engine, answers] = both();
    answers.want([ask(1), ask(2)]);
    expect(engine.asked).toEqual([1]);
    expect(answers.get(ask(1))).toEqual({
      state: "waiting",
      progress: { says: "Compiling", share: 0.5 },
    });
    engine.finish();
    await settled();
    expect(engine.asked).toEqual([1, 2]);
    engine.finish();
    await settled();
    answers.want([ask(1)]);
    expect(engine.asked).toEqual([1, 2]);
    expect(answers.answer(ask(1))?.scores[0]).toBe(1);
    expect(answers.about("a", "i")?.scores[0]).toBe(2);
    expect(answers.about("a", "other")).toBeNull();
  });

  it("are given up when nobody wants them any more", async () => {
    const [engine, answers] = both();
    answers.want([ask(1)]);
    const late = engine.finish;
    answers.want([ask(2)]);
    expect([engine.aborted, engine.asked]).toEqual([[1], [1, 2]]);
    late(); // too late: it must not be taken for the answer to the second
    await settled();
    expect(answers.get(ask(1)).state).toBe("waiting");
    engine.finish();
    await settled();
    expect(answers.answer(ask(2))?.scores[0]).toBe(2);
  });

  it("that failed say the engine's sentence and are asked again only on request", async () => {
    const [engine, answers] = both();
    answers.want([ask(1)]);
    engine.finish("There is no rule for Foo.");
    await settled();
    expect(answers.get(ask(1))).toEqual({ state: "failed", says: "There is no rule for Foo." });
    answers.want([ask(1)]);
    expect(engine.asked).toEqual([1]);
    answers.forget(null);
    expect(engine.asked).toEqual([1, 1]);
  });

  it("of a model are forgotten when its preprocessing changes", async () => {
    const [engine, answers] = both();
    answers.want([ask(1)]);
    engine.finish();
    await settled();
    answers.forget("b");
    expect(answers.answer(ask(1))).not.toBeNull();
    answers.forget("a");
    expect(engine.asked).toEqual([1, 1]);
  });
});
