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
  const byte = (i: number): number => packed.charCodeAt(i) || 0;
  const least = byte(0) - 8;
  const rgb = [byte(1), byte(2), byte(3)];
  const out = new Uint32Array(256);
  const rgba = new Uint8Array(out.buffer);
  for (let i = 0, bit = 32; i < 256; i += 1) {
    for (let k = 0; k < 3; k += 1) {
      if (i > 0) {
        const pair = byte(bit >> 3) | (byte((bit >> 3) + 1) << 8);
        rgb[k] = (rgb[k] as number) + least + ((pair >> (bit & 7)) & 7);
        bit += 3;
      }
      rgba[4 * i + k] = rgb[k] as number;
    }
    rgba[4 * i + 3] = 255;
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
