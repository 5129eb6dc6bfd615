/** Counting and drawing how the values of one map are distributed. */

import { clamp } from "./small.ts";
export interface Histogram {
  counts: Uint32Array;
  lo: number;
  hi: number;
  /** Bin that holds zero, -1 when zero is outside. */
  zero: number;
  nan: number;
  total: number;
}

/** Count finite values into `bins` equal bins from the smallest to the largest value. */
export function histogram(values: Float32Array, bins = 48): Histogram {
  let lo = Number.POSITIVE_INFINITY;
  let hi = Number.NEGATIVE_INFINITY;
  let nan = 0;
  for (const value of values) {
    if (Number.isNaN(value)) nan++;
    if (!Number.isFinite(value)) continue;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  const counts = new Uint32Array(bins);
  if (lo > hi) return { counts, lo: 0, hi: 0, zero: -1, nan, total: 0 };
  const bin = (value: number) => {
    const place = Math.floor(((value - lo) / (hi - lo)) * bins);
    return Number.isNaN(place) ? 0 : clamp(place, 0, bins - 1);
  };
  let total = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    const place = bin(value);
    counts[place] = (counts[place] as number) + 1;
    total++;
  }
  return { counts, lo, hi, zero: lo <= 0 && hi >= 0 ? bin(0) : -1, nan, total };
}
