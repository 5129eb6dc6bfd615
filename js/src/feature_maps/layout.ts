/** Where each tile of the grid lies; pure arithmetic in CSS pixels. */

import { clamp } from "../lib/small.ts";
export interface GridLayout {
  /** Number of tiles. */
  count: number;
  columns: number;
  rows: number;
  /** Size of one tile. */
  width: number;
  height: number;
  /** From one tile to the next. */
  gap: number;
  /** Free room around all tiles, for the outline of the selected one. */
  pad: number;
  /** Height of everything. */
  total: number;
}

/**
 * Lay `count` maps of `shape` (height, width) out in rows. `size` is a tile's longer side; where
 * the rows are full, tiles grow a little so that no strip stays empty beside them.
 */
export function layoutGrid(
  count: number,
  shape: readonly [number, number],
  size: number,
  available: number,
  gap = 4,
  pad = 4,
): GridLayout {
  const longer = Math.max(shape[0], shape[1], 1);
  const least = Math.max(2, Math.round((size * shape[1]) / longer));
  const room = available - 2 * pad + gap;
  const columns = Math.max(1, Math.floor(room / (least + gap)));
  const grown = count < columns ? least : Math.floor(room / columns) - gap;
  const width = clamp(grown, least, Math.round(least * 1.25));
  const height = Math.max(2, Math.round((width * shape[0]) / Math.max(1, shape[1])));
  const rows = Math.ceil(count / columns);
  const total = rows === 0 ? 0 : 2 * pad + rows * (height + gap) - gap;
  return { count, columns, rows, width, height, gap, pad, total };
}

/** Upper left corner of tile `index`, from the upper left corner of everything. */
export function tileAt(grid: GridLayout, index: number): { x: number; y: number } {
  const row = Math.floor(index / grid.columns);
  const column = index - row * grid.columns;
  return {
    x: grid.pad + column * (grid.width + grid.gap),
    y: grid.pad + row * (grid.height + grid.gap),
  };
}

/** The tiles [first, last) of which something shows between `top` and `top + height`. */
export function visibleTiles(grid: GridLayout, top: number, height: number): [number, number] {
  const pitch = grid.height + grid.gap;
  const first = Math.floor((top - grid.pad + grid.gap) / pitch);
  const last = Math.ceil((top + height - grid.pad) / pitch);
  const index = (row: number) => clamp(row * grid.columns, 0, grid.count);
  return [index(first), index(last)];
}

/** The tile under a point of everything and the point within it, 0..1; null in the gaps. */
export function hitTile(
  grid: GridLayout,
  x: number,
  y: number,
): { index: number; u: number; v: number } | null {
  const column = Math.floor((x - grid.pad) / (grid.width + grid.gap));
  const row = Math.floor((y - grid.pad) / (grid.height + grid.gap));
  const index = row * grid.columns + column;
  if (column < 0 || column >= grid.columns || row < 0 || index >= grid.count) return null;
  const u = (x - grid.pad - column * (grid.width + grid.gap)) / grid.width;
  const v = (y - grid.pad - row * (grid.height + grid.gap)) / grid.height;
  return u < 1 && v < 1 ? { index, u, v } : null;
}

/** How far to scroll so that tile `index` is in full view; `top` unchanged when it is. */
export function scrollTo(grid: GridLayout, index: number, top: number, height: number): number {
  const { y } = tileAt(grid, index);
  if (y - grid.pad < top) return Math.max(0, y - grid.pad);
  const bottom = y + grid.height + grid.pad;
  return bottom > top + height ? bottom - height : top;
}

/** The tile a key leads to from `index`; null for keys that do not move. */
export function moveInGrid(
  grid: GridLayout,
  index: number,
  key: string,
  control: boolean,
  page: number,
): number | null {
  const last = grid.count - 1;
  const start = index - (index % grid.columns);
  const steps: Record<string, number> = {
    ArrowLeft: index - 1,
    ArrowRight: index + 1,
    ArrowUp: index - grid.columns,
    ArrowDown: index + grid.columns,
    Home: control ? 0 : start,
    End: control ? last : Math.min(last, start + grid.columns - 1),
    PageUp: index - page * grid.columns,
    PageDown: index + page * grid.columns,
  };
  const target = steps[key];
  if (target === undefined || last < 0) return null;
  const vertical = key === "ArrowUp" || key === "ArrowDown";
  // Arrows stop at the edges of the grid; pages go on to its first or last tile.
  if (vertical && (target < 0 || target > last)) return index;
  return clamp(target, 0, last);
}

/** Pixel range `slider` of a full range: 0 all of it, 1 a twentieth around its anchor. */
export function narrow(a: number, b: number, contrast: number): [number, number] {
  const keep = 1 - 0.95 * clamp(contrast, 0, 1);
  // Ranges that hold zero shrink towards it, so that zero keeps its colour.
  if (a <= 0 && b >= 0) return [a * keep, b * keep];
  const middle = a / 2 + b / 2;
  return [middle + (a - middle) * keep, middle + (b - middle) * keep];
}
