// Thumbnails and names by number: those that a saved notebook keeps, others as they are asked for.

import { array, type Packed } from "../lib/codec.ts";
import { atEnd, h, setProps } from "../lib/dom.ts";
import { rgbCanvas } from "../lib/picture.ts";
import type { Session } from "./session.ts";

const AT_ONCE = 200;
const KEPT = 3000;
const WAIT_MS = 40;

export type Thumbs = ReturnType<typeof createThumbs>;

export function createThumbs(session: Session) {
  const { shell } = session;
  const { channel, signal } = shell;
  const pictures = new Map<number, HTMLCanvasElement>();
  const names = new Map<number, string>();
  const asked = new Set<number>();
  const listeners: Array<() => void> = [];
  let sent: number[] = [];
  const waiting: number[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  atEnd(signal, () => clearTimeout(timer));
  const saved = shell.trait<DataView | null>("_thumbs");
  saved.on(() => void readSaved());
  channel.on("thumbs", ({ blob, status }) => {
    if (blob) take(blob);
    if (status === "partial") return;
    sent = [];
    tell();
    send();
  });
  void readSaved();
  return { get, name, photo, onCome: (fn: () => void) => void listeners.push(fn), any };

  /** Whether there are pictures at all. */
  function any(): boolean {
    return (saved.get()?.byteLength ?? 0) > 0;
  }

  /** The picture of a point, by its number; null: none, or on its way. */
  function get(number: number): HTMLCanvasElement | null {
    const found = pictures.get(number);
    if (!found && any() && !asked.has(number) && !channel.saved && !channel.state.offline) {
      asked.add(number);
      waiting.push(number);
      timer ??= setTimeout(send, WAIT_MS);
    }
    return found ?? null;
  }

  function name(number: number): string {
    const found = session.points.names?.[number] ?? names.get(number);
    return found || `${any() ? "image" : "point"} ${number}`;
  }

  /** A picture for the page; an empty square where there is none. */
  function photo(number: number, title = name(number)): HTMLCanvasElement {
    const canvas = h("canvas", { class: "em-photo", role: "img", "aria-label": title, title });
    const picture = get(number);
    setProps(canvas, { width: picture?.width ?? 1, height: picture?.height ?? 1 });
    if (picture) canvas.getContext("2d")?.drawImage(picture, 0, 0);
    return canvas;
  }

  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    if (sent.length || !waiting.length || channel.state.offline) return;
    // What is wanted now comes before what was wanted then.
    sent = waiting.splice(-AT_ONCE);
    const data = Int32Array.from(sent);
    channel.ask("thumbs", {}, { arrays: { indices: { shape: [data.length], data } } });
  }

  function take(blob: Packed): void {
    const { data, shape } = array(blob, "pictures", "uint8");
    const [, height = 1, width = 1] = shape;
    const size = height * width * 3;
    sent.forEach((number, i) => {
      pictures.set(number, rgbCanvas(data.subarray(i * size, (i + 1) * size), width, height));
      names.set(number, String(blob.meta.names[i] ?? ""));
    });
    for (const number of pictures.keys()) {
      if (pictures.size <= KEPT) break;
      pictures.delete(number);
      asked.delete(number);
    }
  }

  function tell(): void {
    if (!signal.aborted) for (const fn of listeners) fn();
  }

  async function readSaved(): Promise<void> {
    const blob = shell.packed("_thumbs", (blob) => blob);
    const jpeg = blob?.arrays.jpeg?.data as Uint8Array<ArrayBuffer> | undefined;
    if (!blob || !jpeg?.length) return;
    const { indices, height, width, columns } = blob.meta;
    const sheet = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    (indices as number[]).forEach((number, i) => {
      if (pictures.has(number)) return;
      const canvas = h("canvas", { width, height });
      const [x, y] = [(i % columns) * width, Math.floor(i / columns) * height];
      canvas.getContext("2d")?.drawImage(sheet, x, y, width, height, 0, 0, width, height);
      pictures.set(number, canvas);
    });
    sheet.close();
    tell();
  }
}
