// Counting how the values of one map are distributed.

import { clamp } from "../lib/small.ts";

export interface Histogram {
  counts: Uint32Array;
  lo: number;
  hi: number;
  /** Bin that holds zero, -1 when zero is outside. */
  zero: number;
}

/** Count finite values into `bins` equal bins from the smallest to the largest value. */
export function histogram(values: Float32Array, bins = 48): Histogram {
  const finite = values.filter(Number.isFinite);
  const counts = new Uint32Array(bins);
  if (finite.length === 0) return { counts, lo: 0, hi: 0, zero: -1 };
  const lo = finite.reduce((a, b) => Math.min(a, b));
  const hi = finite.reduce((a, b) => Math.max(a, b));
  // 0 / 0 where all values are the same: the first bin.
  const bin = (value: number) =>
    clamp(Math.floor(((value - lo) / (hi - lo)) * bins) || 0, 0, bins - 1);
  for (const value of finite) counts[bin(value)] = (counts[bin(value)] as number) + 1;
  return { counts, lo, hi, zero: lo <= 0 && hi >= 0 ? bin(0) : -1 };
}
