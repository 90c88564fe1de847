/** ONNX Runtime in the browser: which build, how many threads, one session per file. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import { EngineError } from "./types";

type Runtime = typeof import("onnxruntime-web/wasm");
type MakeTensor = (dtype: string, values: Tensor["data"], dims: number[]) => Tensor;

export interface Running {
  session: InferenceSession;
  /** Of the build that runs the session: each has its own. */
  makeTensor: MakeTensor;
  /** "WASM, 1 thread" or "WebGPU". */
  says: string;
}

export const GPU = "WebGPU";

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
  return { session, makeTensor: maker(ort), says: wasmSays() };
}

function maker(ort: Runtime): MakeTensor {
  return (dtype, values, dims) => new ort.Tensor(dtype as "float32", values as Float32Array, dims);
}

/** Start a session on the GPU; null where the browser has none, or it cannot run the file. */
export async function startOnGpu(address: string): Promise<Running | null> {
  if (!(await hasGpu())) return null;
  const ort = await import("onnxruntime-web/webgpu");
  try {
    const session = await ort.InferenceSession.create(address, {
      executionProviders: ["webgpu"],
      logSeverityLevel: 3, // that shapes are computed on the processor is no warning
    });
    return { session, makeTensor: maker(ort), says: GPU };
  } catch {
    return null; // WASM runs it, and says so
  }
}

/** A GPU that the processor only imitates is slower than WASM. */
async function hasGpu(): Promise<boolean> {
  const gpu = (navigator as { gpu?: { requestAdapter: () => Promise<Adapter | null> } }).gpu;
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !adapter.info?.isFallbackAdapter);
}

interface Adapter {
  info?: { isFallbackAdapter?: boolean };
}
