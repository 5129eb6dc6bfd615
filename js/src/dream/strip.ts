// The film as a row of small pictures along the steps, as far as the run has come.

import { atEnd, h } from "../lib/dom.ts";
import { clamp } from "../lib/small.ts";
import { surface } from "../lib/tiles.ts";
import { MOST, slots } from "./film.ts";
import { decodeJpeg } from "./jpeg.ts";
import type { Frame } from "./record.ts";
import type { Session } from "./session.ts";

const GAP = 1;
/** Rows of the small pictures, enough for two pixels each on a screen of high density. */
const ROWS = 112;

export function createStrip(session: Session): HTMLCanvasElement {
  const { shell } = session;
  const { signal } = shell;
  const canvas = h("canvas", { class: "dr-strip", "aria-hidden": "true" });
  const small = new Map<Frame, ImageBitmap>();
  let busy = false;
  session.on(["film"], () => {
    void load();
    shell.redraw();
  });
  session.on(["cursor"], shell.redraw);
  shell.onDraw(paint);
  atEnd(signal, () => {
    for (const bitmap of small.values()) bitmap.close();
    small.clear();
  });
  return canvas;

  /** Decode what the film has gained, one by one; let go what it has lost. */
  async function load(): Promise<void> {
    for (const [frame, bitmap] of small) {
      if (session.frames.includes(frame)) continue;
      bitmap.close();
      small.delete(frame);
    }
    if (busy) return;
    busy = true;
    for (let frame = missing(); frame && !signal.aborted; frame = missing()) {
      try {
        const options = { resizeHeight: ROWS, resizeQuality: "medium" } as const;
        const bitmap = await decodeJpeg(frame.jpeg, options);
        if (signal.aborted || !session.frames.includes(frame)) bitmap.close();
        else small.set(frame, bitmap);
      } catch (error) {
        console.warn("A frame could not be decoded.", error);
        session.frames = session.frames.filter((each) => each !== frame);
      }
      shell.redraw();
    }
    busy = false;
  }

  function missing(): Frame | undefined {
    return session.frames.find((frame) => !small.has(frame));
  }

  function paint(): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    const context = surface(canvas, width, height);
    if (!context) return;
    context.fillStyle = shell.theme.color("--nbc-sunk");
    context.fillRect(0, 0, width, height);
    const aspect = Number(shell.body.style.getPropertyValue("--dr-aspect")) || 1;
    const count = Math.round(clamp(width / (height * clamp(aspect, 0.7, 1.6)), 4, MOST));
    const wide = width / count;
    context.imageSmoothingQuality = "high";
    // As far as the run has come, to the step.
    const { run, frames } = session;
    const share = (frames.at(-1)?.step ?? 0) / Math.max(1, run.steps);
    context.save();
    context.beginPath();
    context.rect(0, 0, width * share, height);
    context.clip();
    slots(frames, run.steps, count).forEach((frame, i) => {
      const bitmap = frame && small.get(frame);
      if (bitmap) cover(context, bitmap, i * wide, wide - GAP, height);
    });
    context.restore();
  }
}

/** Draw the middle of a picture so that it fills its place. */
function cover(
  context: CanvasRenderingContext2D,
  bitmap: ImageBitmap,
  x: number,
  width: number,
  height: number,
): void {
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const [w, h] = [width / scale, height / scale];
  const [left, top] = [(bitmap.width - w) / 2, (bitmap.height - h) / 2];
  context.drawImage(bitmap, left, top, w, h, x, 0, width, height);
}
