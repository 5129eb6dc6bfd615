// A picture with boxes and a coloured map over it, on one canvas as wide as its place allows.

import { fitCanvas } from "./tiles.ts";

/** Half-open rows and columns of the picture, as the kernel counts them. */
export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** A picture as rows of RGB bytes, as a canvas of one pixel each. */
export function rgbCanvas(rgb: Uint8Array, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  const image = new ImageData(canvas.width, canvas.height);
  for (let from = 0, to = 0; from < width * height * 3; from += 3, to += 4) {
    image.data[to] = rgb[from] as number;
    image.data[to + 1] = rgb[from + 1] as number;
    image.data[to + 2] = rgb[from + 2] as number;
    image.data[to + 3] = 255;
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

export class Picture {
  readonly canvas: HTMLCanvasElement;
  #image: HTMLCanvasElement | null = null;
  #overlay: { canvas: HTMLCanvasElement; opacity: number } | null = null;
  #boxes: readonly Box[] = [];
  #size: { width: number; height: number } = { width: 1, height: 1 };
  #frame = 0;
  readonly #cells: boolean;

  /** `canvas` is laid out by CSS; it is painted as large as it lies on the screen. `cells` keeps
   * the pixels of the picture square, for maps. */
  constructor(canvas: HTMLCanvasElement, signal: AbortSignal, { cells = false } = {}) {
    this.canvas = canvas;
    this.#cells = cells;
    const observer = new ResizeObserver(() => this.#later());
    observer.observe(canvas);
    signal.addEventListener("abort", () => {
      observer.disconnect();
      cancelAnimationFrame(this.#frame);
    });
  }

  /** Show another picture; `width` and `height` are what boxes are measured in. */
  show(image: HTMLCanvasElement | null, width: number, height: number): void {
    this.#image = image;
    this.#size = { width, height };
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    this.#later();
  }

  /** Lay a map over the picture; opacity 0..1; null takes it away. */
  overlay(canvas: HTMLCanvasElement | null, opacity = 1): void {
    this.#overlay = canvas && { canvas, opacity };
    this.#later();
  }

  /** Draw frames around parts of the picture. */
  boxes(boxes: readonly Box[]): void {
    if (boxes.length === 0 && this.#boxes.length === 0) return;
    this.#boxes = boxes;
    this.#later();
  }

  /** Where a pointer is in the picture, 0..1 from its upper left corner; null outside. */
  place(event: { clientX: number; clientY: number }): { u: number; v: number } | null {
    const around = this.canvas.getBoundingClientRect();
    const u = (event.clientX - around.left) / around.width;
    const v = (event.clientY - around.top) / around.height;
    return u >= 0 && u < 1 && v >= 0 && v < 1 ? { u, v } : null;
  }

  #later(): void {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint(): void {
    const { canvas } = this;
    if (canvas.clientWidth === 0) return;
    const pixels = devicePixelRatio;
    fitCanvas(canvas, canvas.clientWidth, canvas.clientHeight, pixels);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.#image) {
      // Photographs are smoothed; maps and the few pixels of a digit are not when enlarged.
      const sharp = this.#cells ? canvas.width >= this.#image.width : this.#size.width < 64;
      context.imageSmoothingEnabled = !sharp;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.#image, 0, 0, canvas.width, canvas.height);
    }
    if (this.#overlay) {
      context.imageSmoothingEnabled = false;
      context.globalAlpha = this.#overlay.opacity;
      context.drawImage(this.#overlay.canvas, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
    }
    for (const box of this.#boxes) this.#frameBox(context, box, pixels);
  }

  #frameBox(context: CanvasRenderingContext2D, box: Box, pixels: number): void {
    const sx = this.canvas.width / this.#size.width;
    const sy = this.canvas.height / this.#size.height;
    const line = Math.max(1, Math.round(1.5 * pixels));
    // Kept whole inside the picture, also where the field ends at its border.
    const inset = line / 2 + Math.round(pixels);
    const x = Math.max(inset, box.left * sx);
    const y = Math.max(inset, box.top * sy);
    const right = Math.min(this.canvas.width - inset, Math.max(x + line, box.right * sx));
    const bottom = Math.min(this.canvas.height - inset, Math.max(y + line, box.bottom * sy));
    context.lineWidth = line + 2 * Math.round(pixels);
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    context.strokeRect(x, y, right - x, bottom - y);
    context.lineWidth = line;
    context.strokeStyle = "#fff";
    context.strokeRect(x, y, right - x, bottom - y);
  }
}
