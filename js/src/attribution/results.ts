// Attributions as they cross the wire, and what a browser reads from them without the kernel.

import type { Packed } from "../lib/codec.ts";
import type { Prediction } from "../lib/images/images.ts";
import type { QuantisedMap } from "../lib/tiles.ts";

/** The numbers of an array of a blob; none where it has no such array. */
export function numbers<D extends ArrayLike<number> = Float32Array>(
  { arrays }: Packed,
  name: string,
): D {
  return (arrays[name]?.data ?? new Float32Array()) as unknown as D;
}

/** The map that is quantised in `codes`, its last two sides. */
export function mapOf(blob: Packed, number: number | "" = "", k = 0) {
  const [, height = 1, width = 1] = blob.arrays[`codes${number}`]?.shape ?? [];
  const all = numbers<Uint8Array>(blob, `codes${number}`);
  const codes = all.subarray(k * height * width, (k + 1) * height * width);
  const [lo = 0, hi = 0] = ["lo", "hi"].map((name) => numbers(blob, name + number)[k]);
  return { codes, lo, hi, size: [height, width] as const };
}

/** One of trait `_methods`. */
export interface MethodInfo {
  name: string;
  title: string;
  paper: string;
  formula: string;
  is_cam: boolean;
}

/** Whether it says something of every pixel and colour; the others put out one coarse map. */
export function ofPixels({ name, is_cam }: MethodInfo): boolean {
  return !is_cam || name === "guided_gradcam";
}

export type ScoreKind = "logit" | "probability";
/** A unit of a layer: the total or the maximum of a channel, or a channel at a position. */
export type Unit = readonly [number, "total" | "max"] | readonly [number, number, number];

/** What is explained: a class, minus another one; `index` null: what the kernel has. */
export interface Target {
  name: string;
  index: number | null;
  other: number | null;
}

export interface MethodResult {
  name: string;
  /** Why there is nothing; the rest is empty then. */
  error: string;
  min: number;
  max: number;
  positive: boolean;
  /** Whose maps were weighted. */
  layer: string | null;
  notes: string[];
  ms: number;
  done: number;
  total: number;
  completeness: { attributed: number; difference: number; error: number | null } | null;
  place: [number, number, number] | null;
  /** The map; of pixel methods the value of largest magnitude and, but for saved ones, the largest
   * above 0. */
  planes: QuantisedMap[];
}

/** What lane "attribute" answers. */
export interface Results {
  target: Target;
  unit: Unit | null;
  layer: string;
  score_name: string;
  score: number;
  probability: number | null;
  best: Prediction[];
  methods: MethodResult[];
  /** Height and width of the maps; null when there are none. */
  size: readonly [number, number] | null;
}

export function readResults(blob: Packed): Results {
  const { meta, arrays } = blob;
  let size: Results["size"] = null;
  const methods = (meta.methods ?? []).map((row: MethodResult, i: number): MethodResult => {
    const [count = 0] = arrays[`codes${i}`]?.shape ?? [];
    const planes = Array.from({ length: count }, (_, k) => mapOf(blob, i, k));
    size = planes[0]?.size ?? size;
    return { ...row, error: row.error ?? "", notes: row.notes ?? [], planes };
  });
  const target = { name: "", index: null, other: null, ...meta.target };
  return { ...(meta as Results), target, best: meta.best ?? [], methods, size };
}

/** What was asked, or wants to be. */
export interface Question {
  index: number | null;
  other: number | null;
  layer: string;
  unit: Unit | null;
  score: string;
}

/** Equal for questions of one answer; `layered`: a CAM is among the methods. */
export function keyOf({ index, other, layer, unit, score }: Question, layered: boolean): string {
  return JSON.stringify(unit ? [unit, layer] : [index, other, score, layered && layer]);
}

/** CAM as arithmetic: the answer of lane "terms". */
export interface Terms {
  layer: string;
  bias: number | null;
  score: number;
  count: number;
  checks: Array<{ name: string; left: number; right: number; error: number }>;
  shares: Float32Array;
  weights: Float32Array;
  order: Int32Array;
  /** The first of them in that order, each without its weight. */
  maps: Float32Array[];
  /** The sum of all other terms. */
  rest: Float32Array;
  size: readonly [number, number];
}

export function readTerms(blob: Packed): Terms {
  const [count = 0, height = 1, width = 1] = blob.arrays.maps?.shape ?? [];
  const maps = numbers(blob, "maps");
  const part = (_: unknown, i: number) =>
    maps.subarray(i * height * width, (i + 1) * height * width);
  return {
    ...(blob.meta as Terms),
    shares: numbers(blob, "shares"),
    weights: numbers(blob, "weights"),
    order: numbers<Int32Array>(blob, "order"),
    maps: Array.from({ length: count }, part),
    rest: numbers(blob, "rest"),
    size: [height, width],
  };
}

/** How many steps a running sum has: the terms one by one, then all others at once. */
export function steps({ maps, count }: Terms): number {
  return maps.length + (count > maps.length ? 1 : 0);
}

/** The term of rank `i`, its weight included. */
export function term(terms: Terms, i: number): Float32Array {
  const map = terms.maps[i];
  const weight = terms.weights[terms.order[i] ?? -1] ?? 0;
  return map ? map.map((value) => value * weight) : terms.rest;
}

/** The sum of the first `n` steps. */
export function running(terms: Terms, n: number): Float32Array {
  const sum = new Float64Array(terms.rest.length);
  for (let i = 0; i < n; i++)
    term(terms, i).forEach((value, k) => {
      sum[k] = (sum[k] as number) + value;
    });
  return Float32Array.from(sum);
}

export function mean(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
}

/** Meta of lane "evidence". What could not be had is null. */
export interface Evidence {
  deletion: number | null;
  insertion: number | null;
  deletion_by_chance?: number | null;
  insertion_by_chance?: number | null;
  randomised: Array<{ layer: string; similarity: number | null }>;
  remaining: number | null;
  notes: string[];
}
