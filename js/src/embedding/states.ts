// How a point is shown: plainly, lit, dim, or not at all.

import type { Column, Points } from "./points.ts";
import { numberOf } from "./points.ts";

export const PLAIN = 0;
export const LIT = 1;
export const DIM = 2;
export const HIDDEN = 3;

export interface Shown {
  points: Points;
  column: Column | null;
  /** Codes of the column that the legend hides. */
  hidden: ReadonlySet<number>;
  /** The code the legend points at; -1: none. */
  pointed: number;
  /** What was searched, one byte for each of all points; null: nothing. */
  found: Uint8Array | null;
  /** What is selected, in the same way. */
  selection: Uint8Array | null;
}

/** The states of all points; of what could be lit, the newest wish counts. */
export function states({ points, column, hidden, pointed, found, selection }: Shown): Uint8Array {
  const out = new Uint8Array(points.count);
  const codes = column?.codes;
  const lit = found ?? selection;
  if (!lit && pointed < 0 && hidden.size === 0) return out;
  for (let i = 0; i < out.length; i++) {
    const code = codes ? (codes[i] as number) : -1;
    if (codes && hidden.has(code)) out[i] = HIDDEN;
    else if (pointed >= 0) out[i] = code === pointed ? LIT : DIM;
    else if (lit) out[i] = lit[numberOf(points, i)] ? LIT : DIM;
  }
  return out;
}
