// One window and its cells; one cell and its windows.

import { type Side, span } from "./pool.ts";

type Sides = readonly [Side, Side];

/** A cell of a map. */
export interface Cell {
  y: number;
  x: number;
}

/** A window in cells of the map it lies on. */
export interface Window {
  /** Top, left, height, width of the rectangle around its cells, without what lies in the padding. */
  box: [number, number, number, number];
  /** Its rows and columns, those in the padding too. */
  rows: number[];
  columns: number[];
  /** How many of its cells lie on the map. */
  count: number;
}

/** The window that makes the value at (y, x). */
export function windowAt([down, across]: Sides, { y, x }: Cell): Window {
  const [top, bottom, rows] = span(down, y);
  const [left, right, columns] = span(across, x);
  const list = ({ stride, padding, dilation, window }: Side, o: number): number[] =>
    Array.from({ length: window }, (_, i) => o * stride - padding + i * dilation);
  return {
    box: [top, left, bottom - top + 1, right - left + 1],
    rows: list(down, y),
    columns: list(across, x),
    count: rows * columns,
  };
}

/** The values whose windows read the cell at (y, x). */
export function readersOf([down, across]: Sides, { y, x }: Cell): Cell[] {
  const along = ({ size, window, stride, padding, dilation }: Side, at: number): number[] =>
    Array.from({ length: size }, (_, o) => o).filter((o) => {
      const into = (at + padding - o * stride) / dilation;
      return into >= 0 && into < window && Number.isInteger(into);
    });
  const columns = along(across, x);
  return along(down, y).flatMap((row) => columns.map((column) => ({ y: row, x: column })));
}
