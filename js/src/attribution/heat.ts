// A map under a reduction, a contrast and a threshold. All of it happens on the 255 values that a
// quantised map can have, so that a slider costs one look over the pixels.

import { DIVERGING, decode, entry, table } from "../lib/colormap.ts";
import { HATCH } from "../lib/tiles.ts";
import type { MethodResult } from "./results.ts";

export type Reduce = "abs" | "signed" | "positive";

export interface Heat {
  codes: Uint8Array;
  /** What each code means now; NaN for 255. */
  values: Float64Array;
  /** How many pixels have it. */
  counts: Uint32Array;
  /** It has a side below zero that means something. */
  signed: boolean;
}

/** A method's map in one number per pixel; a CAM (no `pixels`) is that and stays as it is. */
export function heatOf({ planes }: MethodResult, reduce: Reduce, pixels: boolean): Heat | null {
  const positive = pixels && reduce === "positive";
  const plane = (positive && planes[1]) || planes[0];
  if (!plane) return null;
  const { codes, lo, hi } = plane;
  const step = (hi - lo) / 254;
  const values = Float64Array.from({ length: 256 }, (_, code) => {
    const near = decode(code, lo, hi);
    // Zeros have the code next to zero, which stands for another value.
    const value = Math.abs(near) <= step / 2 ? 0 : near;
    if (positive) return Math.max(0, value);
    return pixels && reduce === "abs" ? Math.abs(value) : value;
  });
  const counts = new Uint32Array(256);
  for (const code of codes) counts[code] = (counts[code] as number) + 1;
  return { codes, values, counts, signed: pixels ? reduce === "signed" : lo < 0 };
}

/** The codes that occur and are numbers, by a key, the largest first. */
function ranked({ values, counts }: Heat, key: (value: number) => number): number[] {
  const codes = Array.from({ length: 255 }, (_, code) => code).filter((code) => counts[code]);
  const of = (code: number): number => key(values[code] as number);
  return codes.sort((a, b) => of(b) - of(a));
}

/** The value that a share of the pixels that are not zero stays below: where a unit sees a corner
 * of the picture, all the rest would hide it. */
function quantile(heat: Heat, share: number, key: (value: number) => number): number {
  const codes = ranked(heat, key).filter((code) => heat.values[code] !== 0);
  const all = codes.reduce((sum, code) => sum + (heat.counts[code] as number), 0);
  let above = 0;
  for (const code of codes) {
    above += heat.counts[code] as number;
    if (above > (1 - share) * all) return key(heat.values[code] as number);
  }
  return 0;
}

const itself = (value: number): number => value;

export interface Look {
  colours: Uint32Array;
  /** Values of the first and the last colour. */
  range: readonly [number, number];
}

/** Colours and display range; `share` of the pixels are not clipped. */
export function lookOf(heat: Heat, colours: string, share: number): Look {
  const name = colours !== "auto" ? colours : heat.signed ? "RdBu_r" : "inferno";
  const middle = DIVERGING.has(name);
  if (middle || heat.signed) {
    const m = quantile(heat, share, Math.abs);
    return { colours: table(name), range: [-m, m] };
  }
  const least = heat.values[ranked(heat, itself).at(-1) ?? 0] as number;
  return { colours: table(name), range: [least, quantile(heat, share, itself)] };
}

export interface Kept {
  /** By code. */
  keep: Uint8Array;
  /** Share of the picture, 0..1. */
  coverage: number;
}

/** Which values belong to the largest `share` of the picture. Pixels of one value go together: then
 * fewer are kept, as in the kernel. */
export function keptOf(heat: Heat, share: number): Kept {
  const keep = new Uint8Array(256);
  const total = heat.codes.length || 1;
  let count = 0;
  for (const code of ranked(heat, itself)) {
    const more = count + (heat.counts[code] as number);
    if (more > share * total) break;
    count = more;
    keep[code] = 1;
  }
  return { keep, coverage: count / total };
}

/** What goes on the canvas, in packed pixels: the map over the grey picture. `kept`: 0/1 of each
 * pixel; what is not kept is dark, and what is has an outline. */
export function paintHeat(
  out: Uint32Array,
  grey: Uint8Array,
  width: number,
  heat: Heat,
  look: Look,
  opacity: number,
  kept: Uint8Array | null,
): void {
  const bytes = new Uint8Array(out.buffer);
  const rgb = new Uint8Array(1024);
  const packed = new Uint32Array(rgb.buffer);
  for (let code = 0; code < 255; code++) {
    packed[code] = look.colours[entry(heat.values[code] as number, ...look.range)] as number;
  }
  packed[255] = HATCH[0];
  for (let i = 0; i < out.length; i++) {
    const code = heat.codes[i] as number;
    const under = grey[i] as number;
    const inside = !kept || kept[i];
    for (let k = 0; k < 3; k++) {
      const colour = rgb[4 * code + k] as number;
      bytes[4 * i + k] = inside ? under + (colour - under) * opacity : under * 0.3;
    }
    bytes[4 * i + 3] = 255;
  }
  if (kept) paintOutline(out, kept, width);
}

/** A bright line along the inner border of what is kept; sparks that are all border get none. */
function paintOutline(out: Uint32Array, kept: Uint8Array, width: number): void {
  const border: number[] = [];
  let all = 0;
  for (let i = 0; i < kept.length; i++) {
    if (!kept[i]) continue;
    all++;
    const x = i % width;
    const beside = [x && i - 1, x < width - 1 && i + 1, i - width, i + width];
    if (beside.some((k) => k && kept[k as number] === 0)) border.push(i);
  }
  if (border.length < 0.3 * all) for (const i of border) out[i] = 0xffffffff;
}

/** The threshold as 0/1 of each pixel. */
export function keptPixels(heat: Heat, { keep }: Kept): Uint8Array {
  return heat.codes.map((code) => keep[code] as number);
}
