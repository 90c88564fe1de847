/** Preprocessing as text fields, and back. */

import type { Preprocess } from "../../engine/types";

export type Fields = Record<
  "size" | "channels" | "scale" | "mean" | "std" | "resize" | "crop_fraction" | "pad_value" | "interpolation",
  string
>;

export function fieldsOf(preprocess: Preprocess): Fields {
  return {
    size: preprocess.size ? preprocess.size.join(" × ") : "",
    channels: preprocess.channels ?? "",
    scale: String(preprocess.scale),
    mean: preprocess.mean.join(", "),
    std: preprocess.std.join(", "),
    resize: preprocess.resize,
    crop_fraction: String(preprocess.crop_fraction),
    pad_value: String(preprocess.pad_value),
    interpolation: preprocess.interpolation,
  };
}

/** The values, or a sentence that says which field cannot be read. */
export function changesOf(fields: Fields): { values: Partial<Preprocess>; error: string } {
  const size = numbers(fields.size.replace(/[×x]/g, ","));
  const values: Partial<Preprocess> = {
    name: "",
    size: size.length === 2 ? [size[0] ?? 0, size[1] ?? 0] : null,
    channels: (fields.channels || null) as Preprocess["channels"],
    scale: fraction(fields.scale),
    mean: numbers(fields.mean),
    std: numbers(fields.std),
    resize: fields.resize as Preprocess["resize"],
    crop_fraction: fraction(fields.crop_fraction),
    pad_value: fraction(fields.pad_value),
    interpolation: fields.interpolation as Preprocess["interpolation"],
  };
  return { values, error: errorOf(fields, values) };
}

function errorOf(fields: Fields, values: Partial<Preprocess>): string {
  if (fields.size.trim() !== "" && !values.size) {
    return "The size is height × width, such as 224 × 224, or empty.";
  }
  if (values.size?.some((n) => !Number.isInteger(n) || n < 1))
    return "The size must be whole numbers above 0.";
  for (const name of ["scale", "crop_fraction", "pad_value"] as const) {
    if (!Number.isFinite(values[name])) return `“${fields[name]}” is no number (${name}).`;
  }
  for (const name of ["mean", "std"] as const) {
    const list = values[name] ?? [];
    if (list.length === 0 || !list.every(Number.isFinite)) {
      return `“${fields[name]}” must be numbers with commas between them (${name}).`;
    }
  }
  if (values.std?.includes(0)) return "A standard deviation of 0 would divide by zero.";
  return "";
}

function numbers(text: string): number[] {
  return text
    .split(/[,;\s]+/)
    .filter((part) => part !== "")
    .map(fraction);
}

/** "1/255" is how scales are written. */
function fraction(text: string): number {
  const [above = "", below] = text.split("/");
  if (above.trim() === "") return NaN;
  return below === undefined ? Number(above) : Number(above) / Number(below);
}
