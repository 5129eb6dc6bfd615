// A sweep as it crosses the wire, and what can be read from it without the kernel.

import { array, type Packed } from "../lib/codec.ts";
import { decode } from "../lib/colormap.ts";
import type { Box } from "../lib/picture.ts";
import { clamp } from "../lib/small.ts";
import type { QuantisedMap } from "../lib/tiles.ts";
import type { Fill } from "./blend.ts";
import { clip, type Point } from "./brush.ts";

export type Pair = readonly [number, number];
export type Show = "drop" | "score" | "class";
export type ScoreKind = "logit" | "probability";

export interface Sweep {
  window: Pair;
  stride: Pair;
  /** Height and width of the picture. */
  size: Pair;
  fill: Fill;
  score: ScoreKind;
  target: { name: string; index: number | null };
  baseline: number;
  /** Of the whole picture; null: there is none. */
  prediction: { index: number; label: string } | null;
  labels: Record<string, string>;
  done: number;
  total: number;
  complete: boolean;
  engine: string;
  note: string;
  seconds: number;
  /** Rows and columns of positions. */
  grid: Pair;
  /** Of each position; those that are not known yet have the nearest one's. */
  scores: Float32Array;
  known: Uint8Array;
  predicted: Int32Array;
  /** Of each pixel. */
  drop: QuantisedMap;
}

/** A setting that is one number or two, as two. */
export function pair(value: unknown): Pair {
  const [a, b] = Array.isArray(value) ? value : [value, value];
  return [Number(a), Number(b)];
}

/** And back: equal sides are one number. */
export function single([a, b]: Pair): number | [number, number] {
  return a === b ? a : [a, b];
}

/** Read a blob of lane "sweep". */
export function readSweep(blob: Packed): Sweep {
  const { meta } = blob;
  const scores = array(blob, "scores", "float32");
  const codes = array(blob, "codes", "uint8").data;
  const end = (name: string): number => array(blob, name, "float32").data[0] as number;
  return {
    ...(meta as Sweep),
    window: pair(meta.window),
    stride: pair(meta.stride),
    labels: meta.labels ?? {},
    grid: pair(scores.shape),
    scores: scores.data,
    known: array(blob, "known", "uint8").data,
    predicted: array(blob, "predicted", "int32").data,
    drop: { codes, lo: end("lo"), hi: end("hi") },
  };
}

/** How many positions a window has along a side: the last one reaches or passes the edge. */
export function positions(side: number, window: number, stride: number): number {
  return Math.ceil(Math.max(0, side - window) / stride) + 1;
}

/** For each pixel of a side the position of the window whose middle is nearest. */
export function nearestPositions(side: number, window: number, stride: number, count: number) {
  return Int32Array.from({ length: side }, (_, i) =>
    clamp(Math.round((i + 0.5 - window / 2) / stride), 0, count - 1),
  );
}

export interface Place {
  row: number;
  column: number;
  /** What is hidden there. */
  box: Box;
  score: number;
  /** By how much the target's score falls when this is hidden. */
  drop: number;
  /** The mean of the drops of all windows over the pixel. */
  pixel: number;
  known: boolean;
  predicted: number;
}

/** The position nearest to a point of the picture. */
export function placeAt(sweep: Sweep, { x, y }: Point): Place {
  const [height, width] = sweep.size;
  const [px, py] = [clamp(Math.floor(x), 0, width - 1), clamp(Math.floor(y), 0, height - 1)];
  const [ny, nx] = sweep.grid;
  const row = nearestPositions(height, sweep.window[0], sweep.stride[0], ny)[py] as number;
  const column = nearestPositions(width, sweep.window[1], sweep.stride[1], nx)[px] as number;
  const { codes, lo, hi } = sweep.drop;
  return {
    ...placeOf(sweep, row, column),
    pixel: decode(codes[py * width + px] as number, lo, hi),
  };
}

/** A position by row and column; its pixel is the one in its middle. */
export function placeOf(sweep: Sweep, row: number, column: number): Place {
  const [height, width] = sweep.size;
  const [top, left] = [row * sweep.stride[0], column * sweep.stride[1]];
  const whole = { top, left, bottom: top + sweep.window[0], right: left + sweep.window[1] };
  const box = clip({ width, height }, whole) ?? whole;
  const i = row * sweep.grid[1] + column;
  const score = sweep.scores[i] as number;
  const { codes, lo, hi } = sweep.drop;
  const middle = ((box.top + box.bottom) >> 1) * width + ((box.left + box.right) >> 1);
  return {
    row,
    column,
    box,
    score,
    drop: sweep.baseline - score,
    pixel: decode(codes[middle] as number, lo, hi),
    known: sweep.known[i] === 1,
    predicted: sweep.predicted[i] as number,
  };
}

/** The least value that belongs to the top share of all; NaN does not count. */
export function cutoff(values: ArrayLike<number>, share: number): number {
  if (share >= 1) return Number.NEGATIVE_INFINITY;
  const sorted = Float64Array.from(values)
    .filter((value) => !Number.isNaN(value))
    .sort();
  const kept = Math.max(1, Math.round(share * sorted.length));
  return sorted[sorted.length - kept] ?? Number.POSITIVE_INFINITY;
}

export interface Region {
  index: number;
  label: string;
  /** Of all positions. */
  share: number;
}

/** The classes that are predicted somewhere, in an order that stays while a sweep goes on: those of
 * `before` first (their colours stay), then new ones, the most frequent first. */
export function regions(sweep: Sweep, before: readonly number[] = []): Region[] {
  const counts = new Map<number, number>();
  for (const index of sweep.predicted) counts.set(index, (counts.get(index) ?? 0) + 1);
  const known = [...(sweep.prediction ? [sweep.prediction.index] : []), ...before];
  const fresh = [...counts.keys()]
    .filter((index) => !known.includes(index))
    .sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || a - b);
  return [...new Set([...known, ...fresh])].map((index) => ({
    index,
    label: labelOf(sweep, index),
    share: (counts.get(index) ?? 0) / (sweep.predicted.length || 1),
  }));
}

export function labelOf(sweep: Sweep, index: number): string {
  const { prediction, labels } = sweep;
  if (index < 0) return "no class";
  return labels[index] ?? (index === prediction?.index ? prediction.label : `class ${index}`);
}
