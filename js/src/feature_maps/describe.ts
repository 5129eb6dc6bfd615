// Layers and channels in words.

import { percent, shape, three } from "../lib/format.ts";
import { type LayerMaps, type LayerRow, spatial } from "./layer_maps.ts";

/** The kinds with a colour of their own, in the order of the legend. */
export const KINDS = ["conv", "act", "norm", "pool", "merge", "linear", "other"] as const;

/** The colour group of a layer's kind. */
export function colourKind(kind: string): string {
  return (KINDS as readonly string[]).includes(kind) ? kind : "other";
}

/** 1234567 as "1.23 M", 34500 as "34.5 k". */
export function compact(count: number): string {
  if (count >= 999_500) return `${three(count / 1e6)} M`;
  return count >= 1000 ? `${three(count / 1e3)} k` : String(count);
}

/** What the doctor found: "NaN 12", "Inf 3", "dead 2.1 %". */
export function marks(row: LayerRow): string[] {
  const found: string[] = [];
  if (row.nan) found.push(`NaN ${row.nan}`);
  if (row.inf) found.push(`Inf ${row.inf}`);
  if (row.dead) found.push(`dead ${percent(row.dead / 100)}`);
  if (row.saturated) found.push(`saturated ${percent(row.saturated / 100)}`);
  return found;
}

/** One line for a tooltip or a screen reader. */
export function describeLayer(row: LayerRow): string {
  const parts = [row.label, row.module, shape(row.shape)];
  if (!spatial(row)) parts.push("no maps: its output has no rows and columns");
  return [...parts, ...marks(row)].join(" · ");
}

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
