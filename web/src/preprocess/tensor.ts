/** From an upright photograph to the model's tensor: Python's `prepare`, for 8-bit pictures. */

import { EngineError, type Geometry, type Preprocess } from "../engine/types";
import { fit, inside, roundHalfToEven, visible } from "./geometry";
import { resample, type Pixels } from "./resample";

/** What the model's input wants. */
export interface Wanted {
  dtype: string;
  layout: "NCHW" | "NHWC" | "NHW";
  height: number;
  width: number;
  channels: number;
}

export interface Prepared {
  tensor: Float32Array | Uint8Array | Int8Array | Int32Array;
  geometry: Geometry;
  /** As the model sees it, before its numbers: [height, width, channels]. */
  seen: Pixels;
}

const ORDERS: Record<number, NonNullable<Preprocess["channels"]>> = { 1: "L", 3: "RGB", 4: "RGBA" };
const BOUNDS: Record<string, [number, number]> = {
  uint8: [0, 255],
  int8: [-128, 127],
  int32: [-2147483648, 2147483647],
};

/** Make the tensor of a photo given as RGB [height, width, 3]. */
export function prepare(photo: Pixels, wanted: Wanted, how: Preprocess): Prepared {
  const order = how.channels ?? ORDERS[wanted.channels];
  if (!order)
    throw new EngineError(`The model wants ${wanted.channels} channels, which a photo cannot fill.`);
  const geometry = fit(
    [photo.height, photo.width],
    [wanted.height, wanted.width],
    how.resize,
    how.crop_fraction,
  );
  const seen = pixelsOf(photo, geometry, order, how);
  return { tensor: numbers(seen, wanted, how), geometry, seen };
}

/** Resample the photograph as the tensor sees it, channels in the tensor's order. */
function pixelsOf(photo: Pixels, geometry: Geometry, order: string, how: Preprocess): Pixels {
  const [left, top, right, bottom] = inside(geometry);
  const source = withChannels(photo, order);
  const part = resample(source, right - left, bottom - top, how.interpolation, visible(geometry));
  const [height, width] = geometry.tensor;
  const bytes = new Uint8Array(height * width * part.channels).fill(how.pad_value);
  for (let y = top; y < bottom; y++) {
    const row = part.bytes.subarray(
      (y - top) * part.width * part.channels,
      (y - top + 1) * part.width * part.channels,
    );
    bytes.set(row, (y * width + left) * part.channels);
  }
  return { width, height, channels: part.channels, bytes };
}

/** RGB to the channels of a tensor; grey as Pillow makes it, ITU-R 601 in fixed point. */
function withChannels(photo: Pixels, order: string): Pixels {
  if (order === "RGB") return photo;
  const count = photo.width * photo.height;
  const bytes = new Uint8Array(count * order.length);
  for (let c = 0; c < order.length; c++) {
    const name = order.charAt(c);
    for (let i = 0; i < count; i++) bytes[i * order.length + c] = channelOf(photo.bytes, 3 * i, name);
  }
  return { width: photo.width, height: photo.height, channels: order.length, bytes };
}

function channelOf(rgb: Pixels["bytes"], at: number, name: string): number {
  const place = "RGB".indexOf(name);
  if (place >= 0) return rgb[at + place] ?? 0;
  if (name === "A") return 255;
  return ((rgb[at] ?? 0) * 19595 + (rgb[at + 1] ?? 0) * 38470 + (rgb[at + 2] ?? 0) * 7471 + 0x8000) >> 16;
}

function numbers(seen: Pixels, wanted: Wanted, how: Preprocess): Prepared["tensor"] {
  const { channels, bytes } = seen;
  const count = seen.width * seen.height;
  const values = new Float64Array(bytes.length);
  for (let c = 0; c < channels; c++) {
    const mean = how.mean[c] ?? how.mean[0] ?? 0;
    const std = how.std[c] ?? how.std[0] ?? 1;
    for (let i = 0; i < count; i++) {
      const place = wanted.layout === "NCHW" ? c * count + i : i * channels + c;
      values[place] = ((bytes[i * channels + c] ?? 0) * how.scale - mean) / std;
    }
  }
  return typed(values, wanted.dtype, lowest(channels, how));
}

/** The smallest number that preprocessing can make. */
function lowest(channels: number, how: Preprocess): number {
  const ends = Array.from({ length: channels }, (_, c) =>
    [0, 255].map(
      (pixel) => (pixel * how.scale - (how.mean[c] ?? how.mean[0] ?? 0)) / (how.std[c] ?? how.std[0] ?? 1),
    ),
  );
  return Math.min(...ends.flat());
}

function typed(values: Float64Array, dtype: string, bottom: number): Prepared["tensor"] {
  if (dtype === "float32") return Float32Array.from(values);
  const bounds = BOUNDS[dtype];
  if (!bounds)
    throw new EngineError(`The model's input holds ${dtype}, which this page does not make of a photo.`);
  // an int8 input fed with pixels as they are gets pixel - 128
  const shift = dtype === "int8" && bottom >= 0 ? 128 : 0;
  const whole = values.map((v) => Math.min(bounds[1], Math.max(bounds[0], roundHalfToEven(v - shift))));
  return dtype === "uint8"
    ? Uint8Array.from(whole)
    : dtype === "int8"
      ? Int8Array.from(whole)
      : Int32Array.from(whole);
}
