/** Where the colours end. */

/** What numpy's `percentile` gives: linear between the two nearest ranks. */
export function percentile(values: Float32Array, percent: number): number {
  if (values.length === 0) return 0;
  const sorted = Float32Array.from(values).sort();
  const rank = (percent / 100) * (sorted.length - 1);
  const low = Math.floor(rank);
  const below = sorted[low] ?? 0;
  const above = sorted[Math.min(low + 1, sorted.length - 1)] ?? below;
  return below + (above - below) * (rank - low);
}

/** Absolute value of the strongest colours, so that few extreme pixels do not pale all others; never 0. */
export function colourLimit(values: Float32Array, percent = 99.5): number {
  const magnitude = values.map(Math.abs);
  const limit = percentile(magnitude, percent);
  if (limit > 0) return limit;
  const most = magnitude.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? most : 1;
}

/** One limit for several maps: of the largest, or the locked one. */
export function sharedLimit(limits: number[], locked: number | null): number {
  if (locked !== null) return locked;
  return limits.length > 0 ? Math.max(...limits) : 1;
}
