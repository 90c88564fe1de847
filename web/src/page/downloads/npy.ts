/** Arrays as numpy reads them: the NPY format, version 1.0, and .npz as a zip of such files. */

import { zipSync } from "fflate";

export interface Array_ {
  shape: number[];
  values: Float32Array;
}

const ALIGN = 64; // bytes that the header with its length fills up to

/** One array, little-endian float32 in C order. */
export function npy({ shape, values }: Array_): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, n) => product * n, 1);
  if (count !== values.length) {
    throw new Error(`An array of ${values.length} values has not the shape ${shape.join(" × ")}.`);
  }
  const tuple = shape.length === 1 ? `(${shape[0] ?? 0},)` : `(${shape.join(", ")})`;
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  const padding = ALIGN - ((10 + dictionary.length + 1) % ALIGN);
  const header = `${dictionary}${" ".repeat(padding % ALIGN)}\n`;
  const bytes = new Uint8Array(10 + header.length + 4 * count);
  const view = new DataView(bytes.buffer);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  view.setUint16(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), 10);
  values.forEach((value, i) => view.setFloat32(10 + header.length + 4 * i, value, true));
  return bytes;
}

/** Several, by name. */
export function npz(arrays: Record<string, Array_>): Uint8Array<ArrayBuffer> {
  const files = Object.entries(arrays).map(([name, array]) => [`${name}.npy`, npy(array)] as const);
  return zipSync(Object.fromEntries(files));
}
