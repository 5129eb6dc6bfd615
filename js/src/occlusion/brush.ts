// What tools leave on a mask: pure arithmetic in pixels of the picture. Pixel (x, y) has its centre
// at (x + 0.5, y + 0.5). Each function changes the mask in place and returns the part that it may
// have changed, or null.

import type { Box } from "../lib/picture.ts";
import { clamp } from "../lib/small.ts";

/** How much of each pixel is hidden: 0 nothing, 255 all. */
export interface Mask {
  data: Uint8Array;
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** A place of the brush on its way. */
export interface Dab extends Point {
  radius: number;
}

export interface Brush {
  /** 1: hidden up to the edge; 0: fading from the middle on. */
  hardness: number;
  erase: boolean;
}

/** Paint from one dab to the next. A pixel takes the most that any place of the brush gives it, so
 * that a stroke does not depend on how many events the browser sends. */
export function paintStroke(
  mask: Mask,
  from: Dab,
  to: Dab,
  { hardness, erase }: Brush,
): Box | null {
  const { data, width } = mask;
  const reach = Math.max(from.radius, to.radius) + 1;
  const box = clip(mask, {
    top: Math.floor(Math.min(from.y, to.y) - reach),
    left: Math.floor(Math.min(from.x, to.x) - reach),
    bottom: Math.ceil(Math.max(from.y, to.y) + reach),
    right: Math.ceil(Math.max(from.x, to.x) + reach),
  });
  if (!box) return null;
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = length > 0 ? clamp((px * dx + py * dy) / length, 0, 1) : 0;
      const distance = Math.hypot(px - along * dx, py - along * dy);
      const radius = from.radius + along * (to.radius - from.radius);
      const hides = Math.round(255 * cover(distance, radius, hardness));
      const i = y * width + x;
      const had = data[i] as number;
      data[i] = erase ? Math.min(had, 255 - hides) : Math.max(had, hides);
    }
  }
  return box;
}

/** How much a round brush hides at a distance from its middle, 0..1. The edge is never sharper than
 * a pixel, or lines would be jagged. */
export function cover(distance: number, radius: number, hardness: number): number {
  const edge = Math.max(1, radius * (1 - hardness));
  const inside = clamp((radius + 0.5 - distance) / edge, 0, 1);
  return edge === 1 ? inside : inside * inside * (3 - 2 * inside);
}

/** Hide a rectangle. */
export function paintBox(mask: Mask, box: Box): Box | null {
  const part = clip(mask, box);
  if (!part) return null;
  for (let y = part.top; y < part.bottom; y++) {
    mask.data.fill(255, y * mask.width + part.left, y * mask.width + part.right);
  }
  return part;
}

/** All pixels that two points and the line between them touch. */
export function spanned(a: Point, b: Point): Box {
  return {
    top: Math.floor(Math.min(a.y, b.y)),
    left: Math.floor(Math.min(a.x, b.x)),
    bottom: Math.floor(Math.max(a.y, b.y)) + 1,
    right: Math.floor(Math.max(a.x, b.x)) + 1,
  };
}

/** A box of this size (height, width) with a point in its middle. */
export function centred({ x, y }: Point, [height, width]: readonly [number, number]): Box {
  const top = Math.round(y - height / 2);
  const left = Math.round(x - width / 2);
  return { top, left, bottom: top + height, right: left + width };
}

/** The smallest box around both. */
export function around(a: Box | null, b: Box | null): Box | null {
  if (!a || !b) return a ?? b;
  return {
    top: Math.min(a.top, b.top),
    left: Math.min(a.left, b.left),
    bottom: Math.max(a.bottom, b.bottom),
    right: Math.max(a.right, b.right),
  };
}

/** The part of a box that lies on the mask. */
export function clip({ width, height }: { width: number; height: number }, box: Box): Box | null {
  const top = Math.max(0, box.top);
  const left = Math.max(0, box.left);
  const bottom = Math.min(height, box.bottom);
  const right = Math.min(width, box.right);
  return top < bottom && left < right ? { top, left, bottom, right } : null;
}

/** The part of a mask that holds all that is hidden, as lane "scores" takes it. */
export function crop({ data, width, height }: Mask): {
  box: [top: number, left: number, height: number, width: number];
  data: Uint8Array<ArrayBuffer>;
} {
  let [top, left, bottom, right] = [height, width, 0, 0];
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width);
    const first = row.findIndex((value) => value > 0);
    if (first < 0) continue;
    const last = row.findLastIndex((value) => value > 0);
    top = Math.min(top, y);
    bottom = y + 1;
    left = Math.min(left, first);
    right = Math.max(right, last + 1);
  }
  if (bottom === 0) return { box: [0, 0, 1, 1], data: new Uint8Array(1) };
  const wide = right - left;
  const part = new Uint8Array((bottom - top) * wide);
  for (let y = top; y < bottom; y++) {
    part.set(data.subarray(y * width + left, y * width + right), (y - top) * wide);
  }
  return { box: [top, left, bottom - top, wide], data: part };
}
