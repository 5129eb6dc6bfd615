// What the kernel said about one layer and one image: maps, statistics, receptive fields.

import { array, type DType, type NdArray, type Packed } from "../lib/codec.ts";
import type { Box } from "../lib/picture.ts";
import type { QuantisedMap } from "../lib/tiles.ts";
import type { ChannelStatistics } from "./order.ts";

/** Most bytes of codes and float maps that stay in the browser for one layer. */
const KEPT_CODES = 64 * 1024 * 1024;
const KEPT_FULL = 24;

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

/** The maps of a blob, and how many rows and columns each has. */
export function readQuantised(blob: Packed): { maps: QuantisedMap[]; cells: [number, number] } {
  const codes = array(blob, "codes", "uint8");
  const lo = array(blob, "lo", "float32").data;
  const hi = array(blob, "hi", "float32").data;
  const [, height = 1, width = 1] = codes.shape;
  const size = height * width;
  const maps = Array.from(lo, (low, i) => ({
    codes: codes.data.subarray(i * size, (i + 1) * size),
    lo: low,
    hi: hi[i] as number,
  }));
  return { maps, cells: [height, width] };
}

export type LayerMaps = ReturnType<typeof readLayerMaps>;

/** Read a reply of lane "layer". */
export function readLayerMaps(blob: Packed) {
  const { layer, image, shape, factor, signed, version } = blob.meta;
  const floats = (name: string) => array(blob, name, "float32").data;
  const stats: ChannelStatistics = {
    mean: floats("mean"),
    minimum: floats("minimum"),
    maximum: floats("maximum"),
    variance: floats("variance"),
    sparsity: floats("sparsity"),
    nan: array(blob, "nan", "int32").data,
    dead: array(blob, "dead", "uint8").data,
  };
  const { dead, nan, minimum, maximum } = stats;
  const { cells } = readQuantised(blob);
  const rows = optional(blob, "rows", "int16");
  const columns = optional(blob, "columns", "int16");
  const maps = new Map<number, QuantisedMap>();
  const full = new Map<number, FullMap>();
  add(blob);
  return {
    layer: layer as string,
    image: image as number,
    shape: shape as [number, number, number],
    /** The maps in `maps` are area means over squares of this side. */
    factor: factor as number,
    signed: signed as boolean,
    version: version as unknown,
    /** Rows and columns of the maps in `maps`. */
    cells,
    stats,
    /** Smallest and largest value in the layer. */
    lo: minimum.reduce((a, b) => Math.min(a, b), minimum[0] ?? 0),
    hi: maximum.reduce((a, b) => Math.max(a, b), maximum[0] ?? 0),
    picture: array(blob, "picture", "uint8"),
    deadCount: dead.reduce((sum, one) => sum + one, 0),
    maps,
    full,
    add,
    addFull,
    box,
    boxOfReduced,
    remark,
  };

  /** Take the maps of a reply of lane "layer" or "more" in; those of `keep` are not dropped. */
  function add(more: Packed, keep: readonly number[] = []): void {
    const fresh = readQuantised(more);
    const kept = new Set(keep);
    array(more, "channels", "int32").data.forEach((channel, i) => {
      const map = fresh.maps[i] as QuantisedMap;
      kept.add(channel);
      maps.delete(channel);
      // A copy: a view would hold the whole message in memory.
      maps.set(channel, { ...map, codes: map.codes.slice() });
    });
    for (const channel of maps.keys()) {
      if (maps.size * cells[0] * cells[1] <= KEPT_CODES) break;
      if (!kept.has(channel)) maps.delete(channel);
    }
  }

  /** Take the reply of lane "channel" in. */
  function addFull(answer: Packed): void {
    const { channel, weights } = answer.meta;
    full.set(channel, {
      values: array(answer, "map", "float32").data,
      kind: weights,
      weights: optional(answer, "weights", "float32"),
      inputs: optional(answer, "inputs", "int32")?.data ?? null,
    });
    for (const other of full.keys()) {
      if (full.size <= KEPT_FULL) break;
      full.delete(other);
    }
  }

  /** The part of the picture that the cell (y, x) of the full map sees; null when unknown. */
  function box(y: number, x: number): Box | null {
    const vertical = rows?.data.subarray(2 * y, 2 * y + 2) ?? [];
    const horizontal = columns?.data.subarray(2 * x, 2 * x + 2) ?? [];
    const [top, bottom, left, right] = [...vertical, ...horizontal];
    return right === undefined ? null : ({ top, left, bottom, right } as Box);
  }

  /** What all cells under one reduced cell see together. */
  function boxOfReduced(y: number, x: number): Box | null {
    const first = box(y * factor, x * factor);
    const last = box(
      Math.min(shape[1], (y + 1) * factor) - 1,
      Math.min(shape[2], (x + 1) * factor) - 1,
    );
    return first && last && { ...first, bottom: last.bottom, right: last.right };
  }

  /** Why a channel looks the way it does, when that is not obvious; "" otherwise. */
  function remark(channel: number): string {
    if (nan[channel]) return "NaN";
    if (dead[channel]) return "all zero";
    return minimum[channel] === maximum[channel] ? "constant" : "";
  }
}
