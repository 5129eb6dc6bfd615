// Many quantised maps on one canvas: codes become colours in one atlas, from which every tile is
// drawn. Nothing is kept between two paints but memory, so a new colour table, range or order is
// just another paint.

import { codeLut } from "./colormap.ts";
import { h } from "./dom.ts";

/** A map as it crossed the wire: h * w codes of one byte, and the values of codes 0 and 254. */
export interface QuantisedMap {
  codes: Uint8Array;
  lo: number;
  hi: number;
}

/** One map and where it goes, in device pixels. */
export interface Tile {
  map: QuantisedMap;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** How values become colours: a packed table and the values at its ends for each map. */
export interface Look {
  colours: Uint32Array;
  range(map: { lo: number; hi: number }): readonly [number, number];
}

/** What is not a number: magenta and white in turn, beside every table (as in colormaps.py). */
export const HATCH: readonly [number, number] = [0xff8433d6, 0xffffffff];

const WIDEST = 4096;

/** Colour one map, taking every `step`-th cell, into packed pixels `stride` apart per row; entry
 * 255 of `lut` is used up for the hatch. */
export function colourise(
  codes: Uint8Array,
  width: number,
  height: number,
  lut: Uint32Array,
  out: Uint32Array,
  offset = 0,
  stride = width,
  step = 1,
): void {
  const hatched = codes.includes(255);
  for (let y = step >> 1, row = 0; y < height; y += step, row++) {
    let place = offset + row * stride;
    let parity = row;
    for (let x = (step >> 1) + y * width, end = (y + 1) * width; x < end; x += step) {
      if (hatched) lut[255] = HATCH[parity++ & 1] as number;
      out[place++] = lut[codes[x] as number] as number;
    }
  }
}

/** How many cells remain of `side` when every `step`-th is taken, from the middle of the first. */
export function sampled(side: number, step: number): number {
  return Math.ceil((side - (step >> 1)) / step);
}

/** Whole step with which a map `cells` wide still has a cell for each of `pixels` pixels. */
export function samplingStep(cells: number, pixels: number): number {
  return Math.max(1, Math.floor(cells / Math.max(1, pixels)));
}

export type TilePainter = ReturnType<typeof createTilePainter>;

/** An atlas: one off-screen canvas, reused by all paints of one view. */
export function createTilePainter() {
  const canvas = h("canvas");
  const lut = new Uint32Array(256);
  let image: ImageData | null = null;
  // Read-frequently keeps the atlas in plain memory, where writing pixels is a copy.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return { paint };

  /** Paint maps of `mapWidth` x `mapHeight` cells; the canvas has been cleared by the caller. */
  function paint(
    target: CanvasRenderingContext2D,
    tiles: readonly Tile[],
    mapWidth: number,
    mapHeight: number,
    look: Look,
  ): void {
    const first = tiles[0];
    if (!first || !context) return;
    const step = Math.min(
      samplingStep(mapWidth, first.width),
      samplingStep(mapHeight, first.height),
    );
    const cellsX = sampled(mapWidth, step);
    const cellsY = sampled(mapHeight, step);
    const across = Math.min(tiles.length, Math.max(1, Math.floor(WIDEST / cellsX)));
    const [wide, high] = [across * cellsX, Math.ceil(tiles.length / across) * cellsY];
    if (!image || image.width < wide || image.height < high) {
      canvas.width = Math.max(wide, image?.width ?? 0);
      canvas.height = Math.max(high, image?.height ?? 0);
      image = new ImageData(canvas.width, canvas.height);
    }
    const pixels = new Uint32Array(image.data.buffer);
    const places = tiles.map((_, i) => [(i % across) * cellsX, Math.floor(i / across) * cellsY]);
    tiles.forEach(({ map }, i) => {
      const [x, y] = places[i] as [number, number];
      codeLut(map.lo, map.hi, ...look.range(map), look.colours, lut);
      const offset = y * canvas.width + x;
      colourise(map.codes, mapWidth, mapHeight, lut, pixels, offset, canvas.width, step);
    });
    context.putImageData(image, 0, 0, 0, 0, wide, high);
    // Cells stay square when enlarged and are averaged when there are more cells than pixels.
    target.imageSmoothingEnabled = cellsX > first.width || cellsY > first.height;
    target.imageSmoothingQuality = "low";
    tiles.forEach(({ x, y, width, height }, i) => {
      const [fromX, fromY] = places[i] as [number, number];
      target.drawImage(canvas, fromX, fromY, cellsX, cellsY, x, y, width, height);
    });
  }
}

/** A canvas of its own with one pixel a cell, filled by `write`. */
export function pixelCanvas(
  width: number,
  height: number,
  write: (pixels: Uint32Array) => void,
): HTMLCanvasElement {
  const canvas = h("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  write(new Uint32Array(image.data.buffer));
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** One map as a canvas of one pixel a cell: to be drawn large or laid over a picture. */
export function mapCanvas(
  map: QuantisedMap,
  width: number,
  height: number,
  look: Look,
): HTMLCanvasElement {
  const lut = codeLut(map.lo, map.hi, ...look.range(map), look.colours);
  const write = (pixels: Uint32Array) => colourise(map.codes, width, height, lut, pixels);
  return pixelCanvas(width, height, write);
}

/** Quantise floats as the kernel does: codes 0..254 from the smallest to the largest, 255 for NaN. */
export function quantise(values: Float32Array): QuantisedMap {
  let lo = Number.POSITIVE_INFINITY;
  let hi = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  if (lo > hi) lo = hi = 0;
  const codes = new Uint8Array(values.length);
  const scale = hi > lo ? 254 / (hi - lo) : 0;
  values.forEach((value, i) => {
    if (Number.isNaN(value)) codes[i] = 255;
    else codes[i] = Math.min(254, Math.max(0, Math.round((Math.min(hi, value) - lo) * scale)));
  });
  return { codes, lo, hi };
}

/** A filled rectangle. */
export function paintRect(
  context: CanvasRenderingContext2D,
  colour: string,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  context.fillStyle = colour;
  context.fillRect(x, y, width, height);
}

/** An empty canvas for this many CSS pixels, sharp on every screen; null where nothing is seen.
 * Drawing is in CSS pixels; with `device`, in device pixels. */
export function surface(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
  device = false,
): CanvasRenderingContext2D | null {
  const context = canvas.getContext("2d");
  if (!context || width <= 0 || height <= 0) return null;
  const pixels = devicePixelRatio;
  const wide = Math.max(1, Math.round(width * pixels));
  const high = Math.max(1, Math.round(height * pixels));
  // Setting the size, even to the same, throws the memory away.
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, wide, high);
  if (!device) context.scale(pixels, pixels);
  return context;
}
