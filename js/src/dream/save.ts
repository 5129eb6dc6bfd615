// "Save picture" in the menu: the whole one from the kernel; without one, what the stage shows.

import { atEnd, h } from "../lib/dom.ts";
import { bytesOf } from "./record.ts";
import type { Session } from "./session.ts";

/** A browser has taken the file by then. */
const TAKEN_MS = 1000;

export function offerPicture(session: Session): void {
  const { shell } = session;
  const { channel: kernel, signal } = shell;
  const urls = new Set<string>();
  const entry = shell.entry("Save picture", () => {
    if (session.locked) saveFrame();
    else kernel.ask("picture");
  });
  kernel.on("picture", ({ blob }) => {
    const png = blob && bytesOf(blob, "png");
    if (blob && png?.length) save(png, "image/png", `${blob.meta.name || "picture"}.png`);
  });
  session.on(["run", "film", "lock"], () => {
    entry.disabled = !session.frame;
  });
  atEnd(signal, () => urls.forEach(drop));

  function saveFrame(): void {
    const { frame, start } = session;
    if (frame) save(frame.jpeg, "image/jpeg", `${start?.name || "picture"}-${frame.step}.jpg`);
  }

  function save(bytes: Uint8Array, type: string, name: string): void {
    const url = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>], { type }));
    urls.add(url);
    h("a", { href: url, download: name }).click();
    shell.status(`${name} is saved.`);
    setTimeout(() => drop(url), TAKEN_MS);
  }

  function drop(url: string): void {
    URL.revokeObjectURL(url);
    urls.delete(url);
  }
}
