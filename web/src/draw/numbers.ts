/** Numbers as they are read: two or three digits, a real minus. */

/** "+0.012", "−3.4", "0": a value with its sign. */
export function signed(value: number, digits = 2): string {
  if (value === 0 || !Number.isFinite(value)) return value === 0 ? "0" : String(value);
  return `${value > 0 ? "+" : "−"}${plain(Math.abs(value), digits)}`;
}

/** The shortest text with so many significant digits. */
export function plain(value: number, digits = 3): string {
  if (value < 0) return `−${plain(-value, digits)}`;
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  if (rounded !== 0 && (size < 1e-4 || size >= 1e6)) {
    return rounded.toExponential().replace("e-", "e−").replace("e+", "e");
  }
  return String(rounded);
}

/** "93.1 %", and "< 0.1 %" instead of a zero that is none; never broken across lines. */
export function percent(share: number): string {
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

/** "14.0 MB" */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** "1 × 3 × 224 × 224"; a size that is free is "?". */
export function shapeWords(shape: (number | string | null)[]): string {
  return shape.length === 0 ? "scalar" : shape.map((n) => n ?? "?").join(" × ");
}
