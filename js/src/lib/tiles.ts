// Many quantised maps on one canvas: codes become colours in one atlas, from which every tile is
// drawn. Nothing is kept between two paints but memory, so a new colour table, range or order is
// just another paint.

import { codeLut } from "./colormap.ts";

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
  range(map: QuantisedMap): readonly [number, number];
}

/** What is not a number: magenta and white in turn, beside every table (as in colormaps.py). */
export const HATCH: readonly [number, number] = [0xff8433d6, 0xffffffff];

const WIDEST = 4096;

/** Colour one map, taking every `step`-th cell, into packed pixels `stride` apart per row. */
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
  let row = offset;
  for (let y = step >> 1; y < height; y += step) {
    let place = row;
    for (let x = (step >> 1) + y * width, end = (y + 1) * width; x < end; x += step) {
      out[place++] = lut[codes[x] as number] as number;
    }
    row += stride;
  }
  if (hatched) hatch(codes, width, height, out, offset, stride, step);
}

/** Cells that are not a number, after the others: they are rare, and the others should be quick. */
function hatch(
  codes: Uint8Array,
  width: number,
  height: number,
  out: Uint32Array,
  offset: number,
  stride: number,
  step: number,
): void {
  for (let y = step >> 1, row = 0; y < height; y += step, row++) {
    for (let x = step >> 1, column = 0; x < width; x += step, column++) {
      if (codes[y * width + x] === 255) {
        out[offset + row * stride + column] = HATCH[(row + column) & 1] as number;
      }
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

/** The atlas: one off-screen canvas, reused by all paints of one view. */
export class TilePainter {
  readonly #canvas = document.createElement("canvas");
  readonly #lut = new Uint32Array(256);
  #image: ImageData | null = null;

  /** Paint maps of `mapWidth` x `mapHeight` cells; the canvas has been cleared by the caller. */
  paint(
    target: CanvasRenderingContext2D,
    tiles: readonly Tile[],
    mapWidth: number,
    mapHeight: number,
    look: Look,
  ): void {
    const first = tiles[0];
    if (!first || mapWidth < 1 || mapHeight < 1) return;
    const step = Math.min(
      samplingStep(mapWidth, first.width),
      samplingStep(mapHeight, first.height),
    );
    const cellsX = sampled(mapWidth, step);
    const cellsY = sampled(mapHeight, step);
    const across = Math.min(tiles.length, Math.max(1, Math.floor(WIDEST / cellsX)));
    const down = Math.ceil(tiles.length / across);
    const { image, context } = this.#atlas(across * cellsX, down * cellsY);
    const pixels = new Uint32Array(image.data.buffer);
    tiles.forEach(({ map }, i) => {
      const [a, b] = look.range(map);
      codeLut(map.lo, map.hi, a, b, look.colours, this.#lut);
      const offset = Math.floor(i / across) * cellsY * image.width + (i % across) * cellsX;
      colourise(map.codes, mapWidth, mapHeight, this.#lut, pixels, offset, image.width, step);
    });
    context.putImageData(image, 0, 0, 0, 0, across * cellsX, down * cellsY);
    // Cells stay square when enlarged and are averaged when there are more cells than pixels.
    target.imageSmoothingEnabled = cellsX > first.width || cellsY > first.height;
    target.imageSmoothingQuality = "low";
    tiles.forEach((tile, i) => {
      const x = (i % across) * cellsX;
      const y = Math.floor(i / across) * cellsY;
      target.drawImage(this.#canvas, x, y, cellsX, cellsY, tile.x, tile.y, tile.width, tile.height);
    });
  }

  /** Give the memory back. */
  clear(): void {
    this.#image = null;
    this.#canvas.width = 0;
    this.#canvas.height = 0;
  }

  #atlas(width: number, height: number): { image: ImageData; context: CanvasRenderingContext2D } {
    // Read-frequently keeps the atlas in plain memory, where writing pixels is a copy.
    const context = this.#canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("This browser gives no 2D canvas.");
    if (!this.#image || this.#image.width < width || this.#image.height < height) {
      const wide = Math.max(width, this.#image?.width ?? 0);
      const high = Math.max(height, this.#image?.height ?? 0);
      this.#canvas.width = wide;
      this.#canvas.height = high;
      this.#image = new ImageData(wide, high);
    }
    return { image: this.#image, context };
  }
}

/** One map as a canvas of its own, one pixel a cell: to be drawn large or laid over a picture. */
export function mapCanvas(
  map: QuantisedMap,
  width: number,
  height: number,
  look: Look,
): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  const image = new ImageData(canvas.width, canvas.height);
  const [a, b] = look.range(map);
  const lut = codeLut(map.lo, map.hi, a, b, look.colours);
  colourise(map.codes, width, height, lut, new Uint32Array(image.data.buffer));
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
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

/** A canvas sized in CSS pixels, sharp on every screen; true when it had to be resized (and so is
 * empty). `pixels` is the number of device pixels to a CSS pixel. */
export function fitCanvas(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
  pixels: number,
): boolean {
  const wide = Math.max(1, Math.round(width * pixels));
  const high = Math.max(1, Math.round(height * pixels));
  if (canvas.width === wide && canvas.height === high) return false;
  canvas.width = wide;
  canvas.height = high;
  return true;
}
