// Sliders on which each move is a factor, since 0.01 and 0.02 are as far apart as 0.1 and 0.2.

export interface LogScale {
  lo: number;
  hi: number;
  /** The leftmost place means 0. */
  zero?: boolean;
}

/** Places of a slider. */
export const PLACES = 100;

/** Of three significant digits: as it is shown. */
const tidy = (value: number): number => Number(value.toPrecision(3));

/** What a place 0..100 means. */
export function valueAt({ lo, hi, zero = false }: LogScale, place: number): number {
  if (zero && place <= 0) return 0;
  const first = zero ? 1 : 0;
  const share = (place - first) / (PLACES - first);
  return tidy(lo * (hi / lo) ** Math.min(1, Math.max(0, share)));
}

/** The place nearest to a value. */
export function placeOf({ lo, hi, zero = false }: LogScale, value: number): number {
  if (!(value > 0)) return 0;
  const first = zero ? 1 : 0;
  const share = Math.log(value / lo) / Math.log(hi / lo);
  return Math.round(first + Math.min(1, Math.max(0, share)) * (PLACES - first));
}
