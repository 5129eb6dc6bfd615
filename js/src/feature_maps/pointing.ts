// From a place on a tile to a cell, its value and what it sees.

import { decode } from "../lib/colormap.ts";
import { three } from "../lib/format.ts";
import { describeRange } from "./describe.ts";
import type { LayerMaps } from "./layer_maps.ts";
import type { Hover, Session } from "./session.ts";

/** What lies at (u, v), 0..1 from the upper left corner of a tile of the grid; the exact value when
 * the channel's floats are here, else what the quantised, perhaps reduced, map knows. */
export function pointAt(maps: LayerMaps, channel: number, u: number, v: number): Hover | null {
  const [, height, width] = maps.shape;
  const [cellsY, cellsX] = maps.cells;
  // The last reduced cells may reach beyond the map.
  const y = Math.min(height - 1, Math.floor(v * cellsY * maps.factor));
  const x = Math.min(width - 1, Math.floor(u * cellsX * maps.factor));
  const full = maps.full.get(channel);
  if (full) return pointCell(maps, channel, y, x);
  const map = maps.maps.get(channel);
  if (!map) return null;
  const [row, column] = [Math.floor(y / maps.factor), Math.floor(x / maps.factor)];
  const value = decode(map.codes[row * cellsX + column] as number, map.lo, map.hi);
  return { channel, y, x, value, exact: false, box: maps.boxOfReduced(row, column) };
}

/** What lies in cell (y, x) of a channel's full map. */
export function pointCell(maps: LayerMaps, channel: number, y: number, x: number): Hover | null {
  const full = maps.full.get(channel);
  const width = maps.shape[2];
  if (!full) return null;
  const value = full.values[y * width + x] as number;
  return { channel, y, x, value, exact: true, box: maps.box(y, x) };
}

/** The left side of the status line. */
export function sayHover({ hover, maps }: Session): string {
  if (!hover || !maps) return "";
  const { channel, y, x, value, exact } = hover;
  const about = exact ? "" : "≈ ";
  return `channel ${channel} · (${y}, ${x}) · ${about}${three(value)}\u2003${describeRange(maps, channel)}`;
}
