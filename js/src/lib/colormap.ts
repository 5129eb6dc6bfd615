// From uint8 codes to colours, to the byte as nbcnnviz/colormaps.py does it: everything in float64.
//
// A code c in 0..254 stands for v = lo + c * (hi - lo) / 254, 255 for NaN. Under the display range
// [a, b] a value takes entry clamp(floor((v - a) / (b - a) * 256), 0, 255) of the colour table.

import { TABLES } from "./tables.ts";

export const NAMES: readonly string[] = /* @__PURE__ */ Object.keys(TABLES);
export const DIVERGING: ReadonlySet<string> = new Set(["RdBu_r", "coolwarm", "PuOr_r"]);

export type Scale = "map" | "layer" | "symmetric";

/** The packed colour of NaN (transparent black): tiles draw a hatch there. */
export const NAN_RGBA = 0;

/** The table a setting means for this layer: "auto" is viridis without negative values, else RdBu_r. */
export function resolve(name: string, signed: boolean): string {
  if (Object.hasOwn(TABLES, name)) return name;
  return signed ? "RdBu_r" : "viridis";
}

/** The values at both ends of the colour table. */
export function displayRange(
  lo: number,
  hi: number,
  scale: Scale,
  diverging: boolean,
  layerLo: number,
  layerHi: number,
): [number, number] {
  const [a, b] = scale === "map" ? [lo, hi] : [layerLo, layerHi];
  if (scale === "symmetric" || diverging) {
    const m = Math.max(Math.abs(a), Math.abs(b));
    return [-m, m];
  }
  return [a, b];
}

/** The table entry of one value. */
export function entry(v: number, a: number, b: number): number {
  if (!(b > a)) return 0;
  const index = Math.floor(((v - a) / (b - a)) * 256);
  return Math.max(0, Math.min(255, index));
}

/** 256 packed RGBA colours (memory order R, G, B, A) of a table, by name. */
export function table(name: string): Uint32Array {
  return unpackTable((TABLES as Record<string, string>)[name] ?? TABLES.viridis);
}

/** The same of a table as tables.ts has it, for widgets that need no other ones. */
export function unpackTable(text: string): Uint32Array {
  const packed = atob(text);
  const out = new Uint32Array(256);
  const rgba = new Uint8Array(out.buffer).fill(255);
  for (let k = 0; k < 3; k++) rgba[k] = packed.charCodeAt(k);
  for (let i = 1, bit = 24; i < 256; i++) {
    for (let k = 0; k < 3; k++) {
      const last = rgba[4 * i - 4 + k] as number;
      const older = rgba[4 * Math.max(0, i - 4) + k] as number;
      let ones = 0;
      while ((packed.charCodeAt(bit >> 3) >> (bit++ & 7)) & 1) ones++;
      // About as it went on over the last three; 0, 1, 2, 3, ... ones are 0, 1, -1, 2, ... more.
      const off = ones & 1 ? (ones + 1) / 2 : -ones / 2;
      rgba[4 * i + k] = last + Math.round((last - older) / 3) + off;
    }
  }
  return out;
}

/** Which packed colour each code of a map takes; entry 255 is NAN_RGBA. `colours` is from `table`;
 * `out` may be given to be filled again. */
export function codeLut(
  lo: number,
  hi: number,
  a: number,
  b: number,
  colours: Uint32Array,
  out: Uint32Array = new Uint32Array(256),
): Uint32Array {
  const span = hi - lo;
  for (let code = 0; code < 255; code += 1) {
    out[code] = colours[entry(lo + (code * span) / 254, a, b)] as number;
  }
  out[255] = NAN_RGBA;
  return out;
}

/** The value a code stands for (NaN for 255). */
export function decode(code: number, lo: number, hi: number): number {
  return code === 255 ? Number.NaN : lo + (code * (hi - lo)) / 254;
}
