/** WebGPU, where it is right and faster: drivers differ, and a wrong map looks like a right one. */

import { startOnGpu, type Running } from "./sessions";
import type { Answer } from "./types";

/** Compute an answer with a session; as often as it is called. */
export type Ask = (running: Running) => Promise<Omit<Answer, "milliseconds">>;

const NEAR = 1e-3; // of the largest relevance: as near as WASM is to Python

export class Gpu {
  private readonly judged = new Set<string>();
  private readonly taken = new Map<string, Running>();

  constructor(private readonly start: (address: string) => Promise<Running | null> = startOnGpu) {}

  /** The session to take for a file; null where WASM is to be taken. */
  of(address: string): Running | null {
    return this.taken.get(address) ?? null;
  }

  /** Try a file once, on a question that WASM has answered in so many milliseconds. */
  async judge(address: string, ask: Ask, wasm: Answer): Promise<void> {
    if (this.judged.has(address)) return;
    this.judged.add(address);
    const running = await this.start(address);
    if (!running) return;
    if (await isBetter(ask, running, wasm).catch(() => false)) this.taken.set(address, running);
    else await running.session.release();
  }
}

/** The first run compiles the GPU's programs; the second tells how long an answer takes. */
async function isBetter(ask: Ask, running: Running, wasm: Answer): Promise<boolean> {
  if (!isNear(await ask(running), wasm)) return false;
  const begun = performance.now();
  const again = await ask(running);
  return performance.now() - begun < wasm.milliseconds && isNear(again, wasm);
}

function isNear(found: Pick<Answer, "explained">, wasm: Answer): boolean {
  return wasm.explained.every((one, i) => {
    const other = found.explained[i]?.relevance.values;
    const { values } = one.relevance;
    const bound = NEAR * values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    return (
      other?.length === values.length && values.every((v, k) => Math.abs(v - (other[k] ?? NaN)) <= bound)
    );
  });
}
