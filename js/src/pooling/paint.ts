// What the canvases are painted with, in CSS pixels.

import { HATCH, pixelCanvas } from "../lib/tiles.ts";
import type { Look } from "./session.ts";

/** Cells of this many pixels hold their value as text. */
export const READABLE = 22;

type Context = CanvasRenderingContext2D;

/** Values as a canvas of one pixel each; those from `end` on are left out. */
export function valueCanvas(
  values: Float32Array,
  width: number,
  look: Look,
  end = values.length,
): HTMLCanvasElement {
  return pixelCanvas(width, values.length / width, (out) => {
    for (let i = 0; i < end; i++) {
      const value = values[i] as number;
      const hatch = HATCH[(i + Math.floor(i / width)) & 1] as number;
      out[i] = Number.isNaN(value) ? hatch : look.colour(value);
    }
  });
}

/** Black or white, whichever can be read on a packed colour. */
export function inkOn(packed: number): string {
  const light = 0.299 * (packed & 255) + 0.587 * ((packed >> 8) & 255);
  return light + 0.114 * ((packed >> 16) & 255) > 140 ? "#000" : "#fff";
}

/** Words with their middle (or their left end) here. */
export function write(
  context: Context,
  words: string,
  x: number,
  y: number,
  ink: string,
  size = 12,
  align: CanvasTextAlign = "start",
): void {
  context.font = `${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillStyle = ink;
  context.fillText(words, x, y);
}

/** Draw a canvas of one pixel a cell as large as its cells are. */
export function draw(
  context: Context,
  image: HTMLCanvasElement,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  // Cells stay square when enlarged and are averaged when there are more cells than pixels.
  context.imageSmoothingEnabled = width * devicePixelRatio < image.width;
  context.drawImage(image, x, y, width, height);
}

/** A line around cells that can be seen on every colour. */
export function outline(
  context: Context,
  x: number,
  y: number,
  width: number,
  height: number,
  ink: string,
  halo: string,
  round = 0,
): void {
  for (const [out, thick, colour] of [
    [2.5, 1, halo],
    [1, 2, ink],
  ] as const) {
    context.beginPath();
    context.roundRect(x - out, y - out, width + 2 * out, height + 2 * out, round && round + out);
    context.lineWidth = thick;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/** A ring in a cell: the maximum. */
export function ring(context: Context, x: number, y: number, cell: number): void {
  const radius = Math.max(1, Math.min(cell * 0.44 - 2, 20));
  const [left, top] = [x + cell / 2 - radius, y + cell / 2 - radius];
  outline(context, left, top, 2 * radius, 2 * radius, "#fff", "#000", radius);
}
