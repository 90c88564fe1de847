/** Frames: JSON and arrays in one stream; the README beside `src/` has the format. */

export interface Frame {
  header: Record<string, unknown>;
  arrays: Map<string, Float32Array | Uint8Array>;
}

interface ArrayFacts {
  name: string;
  dtype: "float32" | "uint8";
  shape: number[];
}

const HEAD = 8; // bytes of the two lengths

/** Read frames from a stream as they come. Throws where the stream ends within one. */
export async function* readFrames(stream: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const reader = stream.getReader();
  let rest: Uint8Array = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (value) rest = joined(rest, value);
    for (let frame = firstFrame(rest); frame !== null; frame = firstFrame(rest)) {
      rest = rest.subarray(frame.length);
      yield frame;
    }
    if (done) break;
  }
  if (rest.length > 0) throw new Error(`The answer was cut off: ${rest.length} bytes of a frame are left.`);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function firstFrame(bytes: Uint8Array): (Frame & { length: number }) | null {
  if (bytes.length < HEAD) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = view.getUint32(0, true);
  const length = HEAD + header + view.getUint32(4, true);
  if (bytes.length < length) return null;
  const said = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD, HEAD + header))) as Record<
    string,
    unknown
  >;
  return { header: said, arrays: arraysOf(said, bytes.subarray(HEAD + header, length)), length };
}

function arraysOf(header: Record<string, unknown>, payload: Uint8Array): Frame["arrays"] {
  const found: Frame["arrays"] = new Map();
  let start = 0;
  for (const { name, dtype, shape } of (header.arrays ?? []) as ArrayFacts[]) {
    const count = shape.reduce((product, n) => product * n, 1);
    const bytes = dtype === "float32" ? 4 * count : count;
    const copy = payload.slice(start, start + bytes); // aligned, and free of the stream's buffer
    found.set(name, dtype === "float32" ? new Float32Array(copy.buffer) : copy);
    start += 4 * Math.ceil(bytes / 4);
  }
  return found;
}

/** Put the frame's arrays where its header names them: `{"array": name}` becomes the array. */
export function withArrays(value: unknown, arrays: Frame["arrays"]): unknown {
  if (Array.isArray(value)) return value.map((one) => withArrays(one, arrays));
  if (value === null || typeof value !== "object") return value;
  const name = (value as { array?: unknown }).array;
  if (typeof name === "string") {
    const array = arrays.get(name);
    if (!array) throw new Error(`The answer names the array ${name}, which it does not hold.`);
    return array;
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withArrays(one, arrays)]));
}
