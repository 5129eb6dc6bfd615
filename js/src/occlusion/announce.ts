// What screen readers are told, politely: the newest words, once a second at most.

import { atEnd, h, text } from "../lib/dom.ts";

const PAUSE_MS = 1000;

export type Announcer = (words: string) => void;

export function createAnnouncer(signal: AbortSignal) {
  const element = h("div", { class: "nbc-hidden", "aria-live": "polite", "data-role": "spoken" });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let waiting: string | null = null;
  atEnd(signal, () => clearTimeout(timer));
  return { element, say };

  function say(words: string): void {
    waiting = words;
    if (timer === undefined) next();
  }

  function next(): void {
    timer = undefined;
    if (waiting === null) return;
    text(element, waiting);
    waiting = null;
    timer = setTimeout(next, PAUSE_MS);
  }
}
