// What the parts of the widget tell each other about.

import type { NdArray } from "../lib/codec.ts";
import type { Box } from "../lib/picture.ts";

export interface Prediction {
  index: number;
  label: string;
  logit: number;
  probability: number;
}

/** The trait `_images`. */
export interface Images {
  names: string[];
  predictions: Prediction[][];
  size: [number, number];
  pictures: NdArray<"uint8">;
}

/** What the pointer is on. */
export interface Hover {
  channel: number;
  y: number;
  x: number;
  value: number;
  exact: boolean;
  box: Box | null;
}

/** layers: the network; images; maps: other maps than before; more: some further maps; stale: the
 * shown maps are no longer, or again, the wanted ones; order; look: colours; full: one channel's
 * floats; compare; channel: another one is open; hover. */
export type Topic =
  | "layers"
  | "images"
  | "maps"
  | "more"
  | "stale"
  | "order"
  | "look"
  | "full"
  | "compare"
  | "channel"
  | "hover";
