// Where the map before and the one after lie; pure arithmetic in CSS pixels.

import { clamp } from "../lib/small.ts";
import type { Pair } from "./settings.ts";
import type { Cell } from "./windows.ts";

/** A map on the canvas: its upper left corner, its cells. */
export interface Field {
  x: number;
  y: number;
  rows: number;
  columns: number;
}

export interface PairLayout {
  /** Side of a cell, before and after alike. */
  cell: number;
  before: Field;
  after: Field;
  height: number;
}

/** Above the maps: what they are. */
export const LABEL = 24;
/** Room between both, and for lines at the edge. */
export const BETWEEN = 32;
export const EDGE = 4;
/** Of the maps, and of a cell. */
export const HIGHEST = 464;
const LARGEST = 56;

/** Two maps side by side, so that their cells are squares of one size: whole pixels of the screen
 * where there is room for that. */
export function layoutPair(
  size: Pair,
  out: Pair,
  padding: Pair,
  width: number,
  pixels: number,
): PairLayout {
  const [rows, columns] = [size[0] + 2 * padding[0], size[1] + 2 * padding[1]];
  const room = Math.max(1, width - BETWEEN - 2 * EDGE) * pixels;
  const tallest = Math.max(rows, out[0]);
  const fits = Math.min(room / (columns + out[1]), (HIGHEST * pixels) / tallest, LARGEST * pixels);
  const cell = (fits < 1 ? fits : Math.floor(fits)) / pixels;
  const top = LABEL + EDGE;
  const left = Math.round(pixels * (EDGE + columns * cell + BETWEEN)) / pixels;
  return {
    cell,
    before: {
      x: EDGE + padding[1] * cell,
      y: top + padding[0] * cell,
      rows: size[0],
      columns: size[1],
    },
    after: { x: left, y: top, rows: out[0], columns: out[1] },
    height: Math.ceil(top + tallest * cell + EDGE),
  };
}

/** The cell of a field under a point; null outside. */
export function cellAt(field: Field, cell: number, x: number, y: number): Cell | null {
  const at = { y: Math.floor((y - field.y) / cell), x: Math.floor((x - field.x) / cell) };
  const inside = at.y >= 0 && at.y < field.rows && at.x >= 0 && at.x < field.columns;
  return inside ? at : null;
}

export interface GridLayout {
  columns: number;
  rows: number;
  /** Height and width of a tile before and of one after. */
  before: Pair;
  after: Pair;
  /** Left edge of the tiles after. */
  x: number;
  height: number;
}

/** From one tile to the next. */
export const GAP = 4;
const SMALL = 40;
const LARGE = 112;

/** Two grids of `count` maps with the same order, in the sizes that the maps have to each other:
 * tiles as large as lets all be seen, or small ones and a page of them. */
export function layoutGrids(count: number, size: Pair, out: Pair, width: number): GridLayout {
  const ratio = out[1] / size[1];
  const tall = Math.max(size[0], out[0]) / size[1];
  const lay = (columns: number): GridLayout => {
    const room = (width - BETWEEN - EDGE - 2 * columns * GAP) / (columns * (1 + ratio));
    const wide = clamp(Math.floor(room), 2, LARGE);
    const high = (cells: number) => Math.max(1, Math.round((wide * cells) / size[1]));
    const pitch = Math.max(high(size[0]), high(out[0])) + GAP;
    const most = Math.max(1, Math.floor(HIGHEST / (wide * tall + GAP)));
    const rows = Math.min(most, Math.ceil(count / columns));
    return {
      columns,
      rows,
      before: [high(size[0]), wide],
      after: [high(out[0]), Math.max(1, Math.round(wide * ratio))],
      x: EDGE + columns * (wide + GAP) + BETWEEN,
      height: LABEL + rows * pitch,
    };
  };
  let found = lay(1);
  for (let columns = 2; columns <= count && found.columns * found.rows < count; columns++) {
    const next = lay(columns);
    if (next.before[1] < SMALL) break;
    found = next;
  }
  return found;
}
