// Pooling of one map as PyTorch does it: maxima to the last bit, averages with sums in double
// precision. The reference is nbcnnviz/backend/_pool_compute.py.

import { arithmetic, type How, isGlobal, type Pair } from "./settings.ts";

export interface Pooled {
  values: Float32Array;
  /** Where in the map each maximum is, as y * width + x; null for ways to pool that choose none. */
  indices: Int32Array | null;
  height: number;
  width: number;
}

/** The windows along one side of a map: how many, where each begins, how far apart its cells are. */
export interface Side {
  n: number;
  size: number;
  window: number;
  stride: number;
  padding: number;
  dilation: number;
}

/** Both sides of a map that `problem` has nothing against. */
export function sides(size: Pair, how: How): [Side, Side] {
  const fitting = arithmetic(size, how);
  const along = (i: 0 | 1): Side => {
    const n = size[i];
    if (isGlobal(how)) return { n, size: 1, window: n, stride: 1, padding: 0, dilation: 1 };
    const [window, stride, padding] = [how.window[i], how.stride[i], how.padding[i]];
    return { n, size: fitting[i].size, window, stride, padding, dilation: how.dilation[i] };
  };
  return [along(0), along(1)];
}

/** First and last cell of window `o` on the map with `margin` cells around it, and how many. */
export function span(
  { n, window, stride, padding, dilation }: Side,
  o: number,
  margin = 0,
): [first: number, last: number, count: number] {
  const start = o * stride - padding;
  const first = Math.max(0, Math.ceil((-margin - start) / dilation));
  const last = Math.min(window - 1, Math.floor((n + margin - 1 - start) / dilation));
  return [start + first * dilation, start + last * dilation, last - first + 1];
}

/** What the sum of the window at (y, x) is divided by, for averages. */
export function divisor([down, across]: readonly [Side, Side], how: How, y: number, x: number) {
  if (how.divisor_override !== null && how.op === "avg") return how.divisor_override;
  const counted = how.op === "l2" || how.count_include_pad;
  const along = (side: Side, o: number) => span(side, o, counted ? side.padding : 0)[2];
  return along(down, y) * along(across, x);
}

/** Pool one map, row by row in `map`, with settings that `problem` has nothing against. */
export function pool(map: Float32Array, height: number, width: number, how: How): Pooled {
  const both = sides([height, width], how);
  const [down, across] = both;
  const values = new Float32Array(down.size * across.size);
  const indices = how.op.endsWith("max") ? new Int32Array(values.length) : null;
  const squared = how.op === "l2";
  for (let y = 0, out = 0; y < down.size; y++) {
    const [top, bottom] = span(down, y);
    for (let x = 0; x < across.size; x++, out++) {
      const [left, right] = span(across, x);
      let best = Number.NEGATIVE_INFINITY;
      let place = top * width + left;
      let sum = 0;
      for (let row = top; row <= bottom; row += down.dilation) {
        const end = row * width + right;
        for (let i = row * width + left; i <= end; i += across.dilation) {
          const value = map[i] as number;
          if (!indices) sum += squared ? value * value : value;
          // The first of equal values wins; NaN over all, and the last one over the others.
          // biome-ignore lint/suspicious/noSelfCompare: NaN, and much faster than isNaN
          else if (value > best || value !== value) {
            best = value;
            place = i;
          }
        }
      }
      if (indices) {
        values[out] = best;
        indices[out] = place;
      } else {
        const mean = sum / divisor(both, how, y, x);
        // As F.lp_pool2d: a window cut off by `ceil_mode` counts as if it were full.
        values[out] = squared ? Math.sqrt(mean * down.window * across.window) : mean;
      }
    }
  }
  return { values, indices, height: down.size, width: across.size };
}
