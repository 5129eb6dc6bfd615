// The window on its way over the map: play, pause, one step, at a chosen speed.

import { atEnd } from "../lib/dom.ts";
import { clamp } from "../lib/small.ts";
import type { Session } from "./session.ts";

/** Steps a second: powers of two. */
export const FASTEST = 9;
/** A walk takes about so many seconds unless another speed is chosen. */
const SECONDS = 20;
/** Steps a second for those who want no motion. */
const CALM = 2;

export type Walk = ReturnType<typeof createWalk>;

export function createWalk(session: Session) {
  let frame = 0;
  let last = 0;
  /** Part of a step that is still to be made. */
  let due = 0;
  const self = {
    toggle: () => (frame ? pause() : play()),
    step,
    move,
    go,
    whole,
    /** Power of two of the chosen speed; null: what suits the map. */
    chosen: null as number | null,
    get playing(): boolean {
      return frame !== 0;
    },
    /** Number of the value that is pinned; null: none. */
    get place(): number | null {
      const { pinned, shown } = session;
      return pinned && shown && pinned.y * shown.result.width + pinned.x;
    },
    get power(): number {
      const usual = Math.ceil(Math.log2(Math.max(2, count() / SECONDS)));
      return self.chosen ?? Math.min(FASTEST, usual);
    },
  };
  for (const trait of [session.layer, session.channel]) trait.on(pause);
  session.on(["view"], pause);
  atEnd(session.shell.signal, pause);
  return self;

  function count(): number {
    return session.shown?.result.values.length ?? 0;
  }

  function play(): void {
    const place = session.filling ? self.place : null;
    go(place === null || place >= count() - 1 ? 0 : place, true);
    last = due = 0;
    frame = requestAnimationFrame(tick);
    session.emit("walk");
  }

  function pause(): void {
    cancelAnimationFrame(frame);
    frame = 0;
    session.emit("walk");
  }

  function tick(now: number): void {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const rate = calm ? CALM : 2 ** self.power;
    // After a pause of the page it goes on, and does not make up for it.
    due += last && (Math.min(100, now - last) / 1000) * rate;
    last = now;
    frame = requestAnimationFrame(tick);
    const steps = Math.floor(due);
    if (!steps) return;
    due -= steps;
    go((self.place ?? 0) + steps, true);
    if (self.place === count() - 1) pause();
  }

  /** One value on or back, filling. */
  function step(by: number): void {
    pause();
    go((self.place ?? -by) + by, true);
  }

  /** From value to value with the keys. */
  function move(dy: number, dx: number): void {
    pause();
    const from = session.pinned ?? { y: -Math.sign(dy), x: -Math.sign(dx) };
    session.pin({ y: from.y + dy, x: from.x + dx }, session.filling);
  }

  /** To the value of this number. */
  function go(place: number, filling = session.filling): void {
    const width = session.shown?.result.width ?? 1;
    const i = clamp(place, 0, count() - 1);
    session.pin({ y: Math.floor(i / width), x: i % width }, filling);
  }

  /** Nothing on its way: all values, none lit. */
  function whole(): void {
    pause();
    session.pin(null);
  }
}
