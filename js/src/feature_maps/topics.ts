// What the parts of the widget tell each other about.

import type { Box } from "../lib/picture.ts";

/** What the pointer is on. */
export interface Hover {
  channel: number;
  y: number;
  x: number;
  value: number;
  exact: boolean;
  box: Box | null;
}

/** maps: other maps than before; more: some further maps; stale: the shown maps are no longer, or
 * again, the wanted ones; order; look: colours; full: one channel's floats; compare; channel:
 * another one is open; hover. */
export type Topic =
  | "maps"
  | "more"
  | "stale"
  | "order"
  | "look"
  | "full"
  | "compare"
  | "channel"
  | "hover";
