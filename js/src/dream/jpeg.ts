// JPEGs on canvases: decoded aside, kept as bitmaps, painted again whenever the page wants it.

import { atEnd, h, setProps } from "../lib/dom.ts";
import type { Shell } from "../lib/view.ts";
import { createNewest } from "./newest.ts";

export function decodeJpeg(jpeg: Uint8Array, options?: ImageBitmapOptions): Promise<ImageBitmap> {
  const blob = new Blob([jpeg as Uint8Array<ArrayBuffer>], { type: "image/jpeg" });
  return createImageBitmap(blob, options);
}

export interface SlotProps {
  /** Another picture is there. */
  onShow(bitmap: ImageBitmap): void;
}

/** A place for one picture at a time, the newest of those it was given. */
export function createSlot({ onShow }: SlotProps, signal: AbortSignal) {
  let bitmap: ImageBitmap | null = null;
  const clear = (): void => {
    bitmap?.close();
    bitmap = null;
  };
  const newest = createNewest<Uint8Array, ImageBitmap>(
    {
      work: (jpeg) => decodeJpeg(jpeg),
      use(next) {
        clear();
        bitmap = next;
        onShow(next);
      },
      drop: (old) => old.close(),
      failed: (error) => console.warn("A picture could not be decoded.", error),
    },
    signal,
  );
  atEnd(signal, clear);
  return {
    put: newest.put,
    get bitmap() {
      return bitmap;
    },
  };
}

export type Photo = ReturnType<typeof createPhoto>;

/** A small picture in the page, as wide as its place. */
export function createPhoto(shell: Shell, label: string) {
  const canvas = h("canvas", { class: "dr-photo", role: "img", "aria-label": label });
  let shown: Uint8Array | null = null;
  const slot = createSlot({ onShow: paint }, shell.signal);
  shell.onDraw(paint);
  return { canvas, show };

  function show(jpeg: Uint8Array | null, words = label): void {
    setProps(canvas, { "aria-label": words });
    if (!jpeg || jpeg === shown) return;
    shown = jpeg;
    slot.put(jpeg);
  }

  function paint(): void {
    const { bitmap } = slot;
    if (!bitmap) return;
    const { width, height } = bitmap;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    // The few pixels of a digit are not smoothed.
    canvas.toggleAttribute("data-cells", width < 64);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  }
}
