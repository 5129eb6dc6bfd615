// The picture with its hidden parts, at the network's resolution: picture (1 - m) + hidden m.

import type { NdArray } from "../lib/codec.ts";
import type { Box } from "../lib/picture.ts";
import type { Mask } from "./brush.ts";

/** RGB bytes, (H, W, 3), or of one colour, (1, 1, 3). */
export type Rgb = NdArray<"uint8">;

/** Write the pixels of a box into RGBA bytes of the mask's size. */
export function blend(
  rgba: Uint8ClampedArray,
  { data, width }: Mask,
  picture: Uint8Array,
  hidden: Rgb,
  { top, left, bottom, right }: Box,
): void {
  const one = hidden.data.length === 3;
  const fill = hidden.data;
  for (let y = top; y < bottom; y++) {
    for (let i = y * width + left; i < y * width + right; i++) {
      const m = data[i] as number;
      const f = one ? 0 : 3 * i;
      for (let k = 0; k < 3; k++) {
        const shown = picture[3 * i + k] as number;
        rgba[4 * i + k] = shown + ((fill[f + k] as number) - shown) * (m / 255);
      }
      rgba[4 * i + 3] = 255;
    }
  }
}

export type Fill = string | [number, number, number];

/** What a colour looks like before the kernel has said so; null for what only it knows. */
export function guess(fill: Fill): Rgb | null {
  const level = { black: 0, gray: 128 }[String(fill)];
  const colour = Array.isArray(fill) ? fill : level === undefined ? null : [level, level, level];
  return colour && { dtype: "uint8", shape: [1, 1, 3], data: Uint8Array.from(colour) };
}

/** "#ff8000" and back. */
export function toHex(colour: readonly number[]): string {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

export function fromHex(hex: string): [number, number, number] {
  const byte = (at: number): number => Number.parseInt(hex.slice(at, at + 2), 16);
  return [byte(1), byte(3), byte(5)];
}
