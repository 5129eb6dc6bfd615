// Points sorted into square cells, so that the nearest one among a million is found at once.

import { clamp } from "../lib/small.ts";

export type Grid = ReturnType<typeof createGrid>;

/** `xy`: x0, y0, x1, y1, ... within -1..1; a point that is NaN is nowhere. */
export function createGrid(xy: Float32Array) {
  const count = xy.length >> 1;
  const side = clamp(Math.round(Math.sqrt(count / 2)), 1, 1024);
  const starts = new Uint32Array(side * side + 1);
  const cellOf = (i: number): number => {
    const [x, y] = [xy[2 * i] as number, xy[2 * i + 1] as number];
    return x >= -1 && y >= -1 ? row(y) * side + row(x) : -1;
  };
  // A counting sort: how many in each cell, then where each cell begins, then the points.
  for (let i = 0; i < count; i++) {
    const cell = cellOf(i);
    if (cell >= 0) starts[cell + 1] = (starts[cell + 1] as number) + 1;
  }
  for (let cell = 0; cell < side * side; cell++) {
    starts[cell + 1] = (starts[cell + 1] as number) + (starts[cell] as number);
  }
  const next = starts.slice();
  const sorted = new Uint32Array(starts[side * side] as number);
  for (let i = 0; i < count; i++) {
    const cell = cellOf(i);
    if (cell < 0) continue;
    sorted[next[cell] as number] = i;
    next[cell] = (next[cell] as number) + 1;
  }
  return { nearest, within };

  function row(value: number): number {
    return clamp(Math.floor(((value + 1) / 2) * side), 0, side - 1);
  }

  /** The nearest point within a radius that `allowed` lets pass; -1: none. */
  function nearest(
    x: number,
    y: number,
    radius: number,
    allowed: (i: number) => boolean = () => true,
  ): number {
    const cell = 2 / side;
    const [column, line] = [row(x), row(y)];
    let [best, reach] = [-1, radius];
    const reached = Math.ceil(radius / cell) + 1;
    for (let ring = 0; ring <= Math.min(side, reached); ring++) {
      // All of this ring and beyond is farther than what was found.
      if ((ring - 1) * cell > reach) break;
      eachOfRing(column, line, ring, (i) => {
        const d = Math.hypot((xy[2 * i] as number) - x, (xy[2 * i + 1] as number) - y);
        if (d > reach || (d === reach && best >= 0) || !allowed(i)) return;
        best = i;
        reach = d;
      });
    }
    return best;
  }

  function eachOfRing(column: number, line: number, ring: number, fn: (i: number) => void): void {
    const first = Math.max(0, line - ring);
    const last = Math.min(side - 1, line + ring);
    for (let y = first; y <= last; y++) {
      const whole = Math.abs(y - line) === ring;
      const step = whole ? 1 : Math.max(1, 2 * ring);
      for (let x = column - ring; x <= column + ring; x += step) {
        if (x < 0 || x >= side) continue;
        const cell = y * side + x;
        for (let k = starts[cell] as number; k < (starts[cell + 1] as number); k++) {
          fn(sorted[k] as number);
        }
      }
    }
  }

  /** The points in a rectangle, `most` of them at most. */
  function within(
    [left, bottom, right, top]: readonly [number, number, number, number],
    most = Number.POSITIVE_INFINITY,
    allowed: (i: number) => boolean = () => true,
  ): number[] {
    const found: number[] = [];
    for (let y = row(bottom); y <= row(top); y++) {
      for (let x = row(left); x <= row(right); x++) {
        const cell = y * side + x;
        for (let k = starts[cell] as number; k < (starts[cell + 1] as number); k++) {
          const i = sorted[k] as number;
          const [px, py] = [xy[2 * i] as number, xy[2 * i + 1] as number];
          if (px < left || px > right || py < bottom || py > top || !allowed(i)) continue;
          if (found.push(i) >= most) return found;
        }
      }
    }
    return found;
  }
}
