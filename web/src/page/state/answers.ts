/** Questions to the engine: one at a time, the newest wishes first, answers kept. Knows no page. */

import type { Answer, Engine, ExplainRequest, Progress } from "../../engine/types";
import { keyOf } from "./panels";

export type AnswerState =
  | { state: "waiting"; progress: Progress | null }
  | { state: "answered"; answer: Answer }
  | { state: "failed"; says: string };

const KEPT = 16; // answers; a map of 224 pixels and its channels are 0.8 MB

export class Answers {
  private readonly known = new Map<string, AnswerState>();
  private wanted: ExplainRequest[] = [];
  private running: { key: string; abort: AbortController } | null = null;
  private readonly engine: Engine;
  private readonly changed: () => void;

  constructor(engine: Engine, changed: () => void) {
    this.engine = engine;
    this.changed = changed;
  }

  get(request: ExplainRequest): AnswerState {
    return this.known.get(keyOf(request)) ?? { state: "waiting", progress: null };
  }

  /** The answer, or null where there is none yet. */
  answer(request: ExplainRequest): Answer | null {
    const state = this.get(request);
    return state.state === "answered" ? state.answer : null;
  }

  /** The newest answer of a model for an image, whatever was asked: its scores are those of all. */
  about(model: string, image: string): Answer | null {
    for (const [key, state] of [...this.known].reverse()) {
      const asked = JSON.parse(key) as ExplainRequest;
      if (state.state === "answered" && asked.model === model && asked.image === image) return state.answer;
    }
    return null;
  }

  /** From now on these are wanted, and nothing else: what runs for others is given up. */
  want(requests: ExplainRequest[]): void {
    this.wanted = requests;
    const keys = new Set(requests.map(keyOf));
    if (this.running && !keys.has(this.running.key)) {
      this.running.abort.abort();
      this.known.delete(this.running.key);
      this.running = null;
    }
    this.next();
  }

  /** Ask again what failed, and all that is known of a model whose preprocessing changed. */
  forget(model: string | null): void {
    for (const [key, state] of [...this.known]) {
      const asked = JSON.parse(key) as ExplainRequest;
      if (model === null ? state.state === "failed" : asked.model === model) this.known.delete(key);
    }
    if (this.running && !this.known.has(this.running.key)) {
      this.running.abort.abort();
      this.running = null;
    }
    this.next();
  }

  private next(): void {
    if (this.running) return;
    const request = this.wanted.find((one) => !this.known.has(keyOf(one)));
    if (request) void this.ask(request);
  }

  private async ask(request: ExplainRequest): Promise<void> {
    const run = { key: keyOf(request), abort: new AbortController() };
    this.running = run;
    this.put(run.key, { state: "waiting", progress: null });
    const state = await this.outcome(request, run);
    if (this.running !== run) return; // given up meanwhile
    this.running = null;
    this.put(run.key, state);
    this.next();
  }

  private async outcome(
    request: ExplainRequest,
    run: { key: string; abort: AbortController },
  ): Promise<AnswerState> {
    try {
      const answer = await this.engine.explain(
        request,
        (progress) => {
          if (this.running === run) this.put(run.key, { state: "waiting", progress });
        },
        run.abort.signal,
      );
      return { state: "answered", answer };
    } catch (error) {
      return { state: "failed", says: error instanceof Error ? error.message : String(error) };
    }
  }

  private put(key: string, state: AnswerState): void {
    this.known.delete(key); // so that the oldest stand first
    this.known.set(key, state);
    const wanted = new Set(this.wanted.map(keyOf));
    for (const old of this.known.keys()) {
      if (this.known.size <= KEPT) break;
      if (!wanted.has(old)) this.known.delete(old);
    }
    this.changed();
  }
}
