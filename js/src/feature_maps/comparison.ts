// One channel on all images: what has come of it.

import type { QuantisedMap } from "../lib/tiles.ts";

/** The state of the question "this channel, on all images". */
export interface Comparison {
  layer: string;
  channel: number;
  /** One per image, in their order; fewer while the kernel is still at it. */
  maps: QuantisedMap[];
  /** Rows and columns of each map. */
  cells: [number, number];
  done: boolean;
  /** Why it ended early. */
  failed: string | null;
}

/** Smallest and largest value over all maps. */
export function rangeOf(maps: readonly QuantisedMap[]): [number, number] {
  if (maps.length === 0) return [0, 0];
  return [Math.min(...maps.map((map) => map.lo)), Math.max(...maps.map((map) => map.hi))];
}
