// What the kernel said about one layer and one image: maps, statistics, receptive fields.

import { array, type DType, type NdArray, type Packed } from "../lib/codec.ts";
import type { Box } from "../lib/picture.ts";
import type { QuantisedMap } from "../lib/tiles.ts";
import type { ChannelStatistics } from "./order.ts";

/** Most bytes of codes and float maps that stay in the browser for one layer. */
const KEPT_CODES = 64 * 1024 * 1024;
const KEPT_FULL = 24;

/** One row of the trait `_layers`. */
export interface LayerRow {
  name: string;
  label: string;
  module: string;
  kind: string;
  leaf: boolean;
  shape: number[];
  parameters: number;
  field: [number, number] | null;
  dead: number | null;
  saturated: number | null;
  nan: number;
  inf: number;
}

/** Only layers with maps can be shown. */
export function spatial(row: LayerRow): boolean {
  return row.shape.length === 3;
}

/** One channel at full size, as numbers, with the weights that make it when it is a convolution. */
export interface FullMap {
  values: Float32Array;
  kind: "rgb" | "gray" | null;
  weights: NdArray<"float32"> | null;
  inputs: Int32Array | null;
}

function optional<D extends DType>(blob: Packed, name: string, dtype: D): NdArray<D> | null {
  return blob.arrays[name] ? array(blob, name, dtype) : null;
}

export class LayerMaps {
  readonly layer: string;
  readonly image: number;
  readonly shape: [number, number, number];
  /** The maps in `maps` are area means over squares of this side. */
  readonly factor: number;
  readonly signed: boolean;
  readonly version: unknown;
  /** Rows and columns of the maps in `maps`. */
  readonly cells: [number, number];
  readonly stats: ChannelStatistics;
  readonly lo: number;
  readonly hi: number;
  readonly picture: NdArray<"uint8">;
  readonly deadCount: number;
  readonly maps = new Map<number, QuantisedMap>();
  readonly full = new Map<number, FullMap>();
  readonly #rows: NdArray<"int16"> | null;
  readonly #columns: NdArray<"int16"> | null;

  constructor(blob: Packed) {
    const { meta } = blob;
    this.layer = String(meta.layer);
    this.image = Number(meta.image);
    this.shape = meta.shape;
    this.factor = Number(meta.factor) || 1;
    this.signed = meta.signed === true;
    this.version = meta.version;
    const floats = (name: string) => array(blob, name, "float32").data;
    this.stats = {
      mean: floats("mean"),
      minimum: floats("minimum"),
      maximum: floats("maximum"),
      variance: floats("variance"),
      sparsity: floats("sparsity"),
      nan: array(blob, "nan", "int32").data,
      dead: array(blob, "dead", "uint8").data,
    };
    this.lo = this.stats.minimum.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    this.hi = this.stats.maximum.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    if (this.lo > this.hi) this.lo = this.hi = 0;
    this.deadCount = this.stats.dead.reduce((sum, dead) => sum + dead, 0);
    this.picture = array(blob, "picture", "uint8");
    this.#rows = optional(blob, "rows", "int16");
    this.#columns = optional(blob, "columns", "int16");
    const { shape } = array(blob, "codes", "uint8");
    this.cells = [shape[1] ?? 1, shape[2] ?? 1];
    this.add(blob);
  }

  /** Take the maps of a reply of lane "layer" or "more" in; `keep` may not be dropped for them. */
  add(blob: Packed, keep: ReadonlySet<number> = new Set()): void {
    const channels = array(blob, "channels", "int32").data;
    const codes = array(blob, "codes", "uint8").data;
    const lo = array(blob, "lo", "float32").data;
    const hi = array(blob, "hi", "float32").data;
    const size = this.cells[0] * this.cells[1];
    channels.forEach((channel, i) => {
      const own = codes.slice(i * size, (i + 1) * size);
      if (own.length !== size) throw new Error("The maps of this layer do not fit its shape.");
      this.maps.delete(channel);
      this.maps.set(channel, { codes: own, lo: lo[i] as number, hi: hi[i] as number });
    });
    const fresh = new Set(channels);
    for (const channel of this.maps.keys()) {
      if (this.maps.size * size <= KEPT_CODES) break;
      if (!keep.has(channel) && !fresh.has(channel)) this.maps.delete(channel);
    }
  }

  /** Take the reply of lane "channel" in. */
  addFull(blob: Packed): number {
    const channel = Number(blob.meta.channel);
    const { weights } = blob.meta;
    this.full.set(channel, {
      values: array(blob, "map", "float32").data,
      kind: weights === "rgb" || weights === "gray" ? weights : null,
      weights: optional(blob, "weights", "float32"),
      inputs: optional(blob, "inputs", "int32")?.data ?? null,
    });
    for (const other of this.full.keys()) {
      if (this.full.size <= KEPT_FULL) break;
      this.full.delete(other);
    }
    return channel;
  }

  /** The part of the picture that the cell (y, x) of the full map sees; null when unknown. */
  box(y: number, x: number): Box | null {
    const rows = this.#rows?.data;
    const columns = this.#columns?.data;
    const [top, bottom] = [rows?.[2 * y], rows?.[2 * y + 1]];
    const [left, right] = [columns?.[2 * x], columns?.[2 * x + 1]];
    if (top === undefined || bottom === undefined) return null;
    if (left === undefined || right === undefined) return null;
    return { top, left, bottom, right };
  }

  /** What all cells under one reduced cell see together. */
  boxOfReduced(y: number, x: number): Box | null {
    const [, height, width] = this.shape;
    const first = this.box(y * this.factor, x * this.factor);
    const last = this.box(
      Math.min(height, (y + 1) * this.factor) - 1,
      Math.min(width, (x + 1) * this.factor) - 1,
    );
    return first && last && { ...first, bottom: last.bottom, right: last.right };
  }

  /** Why a channel looks the way it does, when that is not obvious; "" otherwise. */
  remark(channel: number): string {
    const { dead, nan, minimum, maximum } = this.stats;
    if (nan[channel]) return "NaN";
    if (dead[channel]) return "all zero";
    return minimum[channel] === maximum[channel] ? "constant" : "";
  }
}
