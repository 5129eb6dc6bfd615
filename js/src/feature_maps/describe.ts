// Channels in words.

import { three } from "../lib/format.ts";
import type { LayerMaps } from "./layer_maps.ts";

/** The label of a grid cell: "conv2, channel 17, mean 0.31, max 2.4". */
export function describeChannel(maps: LayerMaps, channel: number): string {
  const { mean, maximum, nan } = maps.stats;
  const parts = [
    `${maps.layer}, channel ${channel}`,
    `mean ${three(mean[channel])}`,
    `max ${three(maximum[channel])}`,
  ];
  const remark = maps.remark(channel);
  if (remark) parts.push(nan[channel] ? `${nan[channel]} NaN` : remark);
  return parts.join(", ");
}

/** "min 0  mean 0.312  max 2.41" for the status line. */
export function describeRange(maps: LayerMaps, channel: number): string {
  const { mean, minimum, maximum } = maps.stats;
  return `min ${three(minimum[channel])}\u2002mean ${three(mean[channel])}\u2002max ${three(maximum[channel])}`;
}
