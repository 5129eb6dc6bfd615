// The time-lapse: the same images from layer to layer, the points flowing from one map to the next.

import { button, slider } from "../lib/controls.ts";
import { atEnd, h, setProps, text } from "../lib/dom.ts";
import { box } from "../lib/small.ts";
import type { Feed } from "./feed.ts";
import { METHODS, type Session } from "./session.ts";

const STEP_MS = 1400;

export function createLapse(session: Session, feed: Feed): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  let timer: ReturnType<typeof setInterval> | undefined;
  const ask = shell.needsKernel(
    button(
      {
        label: "Time-lapse",
        title: "The same images through the layers, one after the other",
        onClick: feed.lapse,
      },
      signal,
    ),
  );
  const time = slider(
    { label: "layer", min: 0, max: 1, value: 0, bare: true, onInput: go },
    signal,
  );
  setProps(time.input, { "aria-label": "layer of the time-lapse" });
  const play = button({ label: "Play", onClick: () => (timer ? stop() : start()) }, signal);
  const name = h("output", { class: "nbc-name", "data-role": "lapse" });
  const row = box("em-group", play, time.el, name);
  const element = box("em-lapse", ask, row);
  session.on(["lapse", "points", "run"], show);
  session.layers.onLayers(show);
  atEnd(signal, stop);
  show();
  return element;

  function show(): void {
    const { lapse, layers, lapsing } = session;
    const several = layers.layers().length > 1;
    element.hidden = !several && !lapse;
    ask.hidden = !several;
    row.hidden = (lapse?.steps.length ?? 0) < 2;
    (time.input as HTMLInputElement).max = String(Math.max(1, (lapse?.steps.length ?? 1) - 1));
    // A new map has taken its place.
    if (!lapsing) {
      stop();
      text(name, "");
    }
  }

  function go(at: number): void {
    const { lapse } = session;
    const step = lapse?.steps[at];
    if (!lapse || !step) return;
    session.lapsing = true;
    time.value = at;
    const said = lapse.layers[at] ?? "";
    text(name, `${said} · ${METHODS[lapse.method as keyof typeof METHODS] ?? lapse.method}`);
    setProps(time.input, { "aria-valuetext": said });
    session.show(step, true);
  }

  function start(): void {
    const last = (session.lapse?.steps.length ?? 1) - 1;
    go(session.lapsing && time.value < last ? time.value + 1 : 0);
    timer = setInterval(() => {
      if (time.value >= last) stop();
      else go(time.value + 1);
    }, STEP_MS);
    text(play, "Pause");
  }

  function stop(): void {
    clearInterval(timer);
    timer = undefined;
    text(play, "Play");
  }
}
