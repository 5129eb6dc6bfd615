// A picture with boxes and a coloured map over it, on one canvas as wide as its place allows.

import { atEnd, onSize } from "./dom.ts";
import { pixelCanvas, surface } from "./tiles.ts";

/** Half-open rows and columns of the picture, as the kernel counts them. */
export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** A picture as rows of RGB bytes, as a canvas of one pixel each. */
export function rgbCanvas(rgb: Uint8Array, width: number, height: number): HTMLCanvasElement {
  const byte = (i: number) => rgb[i] as number;
  return pixelCanvas(width, height, (pixels) => {
    for (let i = 0; i < pixels.length; i++) {
      pixels[i] = 0xff000000 | (byte(3 * i + 2) << 16) | (byte(3 * i + 1) << 8) | byte(3 * i);
    }
  });
}

export type Picture = ReturnType<typeof createPicture>;

/** `canvas` is laid out by CSS; it is painted as large as it lies on the screen. `cells` keeps the
 * pixels of the picture square, for maps. */
export function createPicture(canvas: HTMLCanvasElement, signal: AbortSignal, cells = false) {
  let image: HTMLCanvasElement | null = null;
  let over: { canvas: HTMLCanvasElement; opacity: number } | null = null;
  let frames: readonly Box[] = [];
  let size = { width: 1, height: 1 };
  let frame = 0;
  onSize(canvas, later, signal);
  atEnd(signal, () => cancelAnimationFrame(frame));
  return { canvas, show, overlay, boxes, place };

  /** Show another picture; `width` and `height` are what boxes are measured in. */
  function show(picture: HTMLCanvasElement | null, width: number, height: number): void {
    image = picture;
    size = { width, height };
    canvas.style.aspectRatio = `${width} / ${height}`;
    later();
  }

  /** Lay a map over the picture; opacity 0..1; null takes it away. */
  function overlay(map: HTMLCanvasElement | null, opacity = 1): void {
    over = map && { canvas: map, opacity };
    later();
  }

  /** Draw frames around parts of the picture. */
  function boxes(parts: readonly Box[]): void {
    if (parts.length === 0 && frames.length === 0) return;
    frames = parts;
    later();
  }

  /** Where a pointer is in the picture, 0..1 from its upper left corner; null outside. */
  function place(event: { clientX: number; clientY: number }): { u: number; v: number } | null {
    const around = canvas.getBoundingClientRect();
    const u = (event.clientX - around.left) / around.width;
    const v = (event.clientY - around.top) / around.height;
    return u >= 0 && u < 1 && v >= 0 && v < 1 ? { u, v } : null;
  }

  function later(): void {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      paint();
    });
  }

  function paint(): void {
    const context = surface(canvas, canvas.clientWidth, canvas.clientHeight, true);
    if (!context) return;
    const { width, height } = canvas;
    if (image) {
      // Photographs are smoothed; maps and the few pixels of a digit are not when enlarged.
      context.imageSmoothingEnabled = cells ? width < image.width : size.width >= 64;
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, width, height);
    }
    if (over) {
      context.imageSmoothingEnabled = false;
      context.globalAlpha = over.opacity;
      context.drawImage(over.canvas, 0, 0, width, height);
      context.globalAlpha = 1;
    }
    for (const box of frames) paintFrame(context, box);
  }

  function paintFrame(context: CanvasRenderingContext2D, box: Box): void {
    const pixels = Math.round(devicePixelRatio) || 1;
    const sx = canvas.width / size.width;
    const sy = canvas.height / size.height;
    // Kept whole inside the picture, also where the field ends at its border.
    const inset = 2 * pixels;
    const x = Math.max(inset, box.left * sx);
    const y = Math.max(inset, box.top * sy);
    const wide = Math.min(canvas.width - inset, Math.max(x + pixels, box.right * sx)) - x;
    const high = Math.min(canvas.height - inset, Math.max(y + pixels, box.bottom * sy)) - y;
    for (const [thick, colour] of [
      [4, "rgba(0, 0, 0, 0.6)"],
      [2, "#fff"],
    ] as const) {
      context.lineWidth = thick * pixels;
      context.strokeStyle = colour;
      context.strokeRect(x, y, wide, high);
    }
  }
}
