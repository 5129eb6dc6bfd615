// A question about the network that is asked once by hand, and from then on with every change of the
// settings; its newest answer, or why there is none.

import type { Args } from "../lib/messages.ts";
import type { Session } from "./session.ts";
import { type How, sameHow } from "./settings.ts";

export interface Follow<T> {
  answer: T | null;
  /** In the kernel's words. */
  refusal: string | null;
  /** Whether the answer is to other settings. */
  readonly old: boolean;
  start(): void;
}

export function follow<T>(
  session: Session,
  lane: string,
  args: () => Args,
  show: () => void,
): Follow<T> {
  const { channel, error } = session.shell;
  /** The settings of the answer. */
  let how: How | null = null;
  /** The layer for which it was asked by hand. */
  let live = "";
  let asked = "";
  const self = {
    answer: null as T | null,
    refusal: null as string | null,
    get old(): boolean {
      return how !== null && (session.problem !== null || !sameHow(how, session.how));
    },
    start: () => {
      live = session.layer.get();
      ask();
    },
  };
  channel.on(lane, ({ blob, status, message, args }) => {
    if (args?.layer !== session.layer.get()) return;
    if (blob) {
      self.answer = blob.meta as T;
      self.refusal = null;
      how = { ...session.how, ...args } as How;
    } else if (status !== "cancelled") {
      self.refusal = message;
      // The reason stands there and not below.
      error(null);
    }
    show();
  });
  session.layer.on(() => {
    self.answer = self.refusal = how = null;
    asked = "";
  });
  session.on(["shown", "tiles"], () => {
    if (live === session.layer.get()) ask();
    show();
  });
  return self;

  function ask(): void {
    const { maps, stale, problem } = session;
    const now = args();
    const key = JSON.stringify(now);
    if (!maps || stale || problem || key === asked) return;
    asked = key;
    channel.ask(lane, now, { replace: true });
  }
}
