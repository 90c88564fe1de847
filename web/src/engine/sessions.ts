/** ONNX Runtime in the browser: which build, how many threads, one session per file. */

import type { InferenceSession } from "onnxruntime-web";

import { EngineError } from "./types";

type Runtime = typeof import("onnxruntime-web/wasm");

export interface Running {
  session: InferenceSession;
  /** "WASM, 1 thread" or "WebGPU". */
  says: string;
}

let loaded: Promise<Runtime> | null = null;

/** Load the WASM build once; threads where the page is isolated from others, which browsers demand for them. */
export function runtime(): Promise<Runtime> {
  loaded ??= import("onnxruntime-web/wasm").then((ort) => {
    ort.env.wasm.numThreads = threads();
    return ort;
  });
  return loaded;
}

function threads(): number {
  return globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
}

export const wasmSays = (): string => `WASM, ${threads()} ${threads() === 1 ? "thread" : "threads"}`;

/** Start a session on a file of this page. */
export async function start(address: string): Promise<Running> {
  const ort = await runtime();
  const session = await ort.InferenceSession.create(address, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  }).catch((error: unknown) => {
    throw new EngineError(`${address} cannot be run in this browser: ${String(error)}`);
  });
  return { session, says: wasmSays() };
}
