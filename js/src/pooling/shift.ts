// The picture moved by a few pixels: how much the maps change, before and after pooling.

import { slider } from "../lib/controls.ts";
import { h, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { createScores } from "../lib/scores.ts";
import { box } from "../lib/small.ts";
import { follow } from "./follow.ts";
import type { Session } from "./session.ts";

/** What lane "shift" answers. */
interface Shifted {
  before: number;
  after: number;
  far_before: number;
  far_after: number;
}

const FAR = 8;

export function createShift(session: Session) {
  const { shell } = session;
  const move = { dx: 0, dy: 0 };
  const asking = follow<Shifted>(session, "shift", () => ({ ...session.args(), ...move }), show);
  const make = (name: "dx" | "dy", label: string) =>
    slider(
      {
        label,
        min: 0,
        max: FAR,
        value: 0,
        unit: " px",
        onInput: (value) => {
          move[name] = value;
          asking.start();
        },
      },
      shell.signal,
    ).el;
  const bars = createScores("change of the maps");
  bars.element.dataset.role = "shift";
  const said = h("p", { class: "nbc-muted", "data-role": "shifted", "aria-live": "polite" });
  const sliders = shell.needsKernel(box("po-group", make("dx", "right"), make("dy", "down")));
  const element = box("po-shift", box("nbc-name", "Move the picture"), sliders, bars.element, said);
  return { element };

  function show(): void {
    const { answer, refusal } = asking;
    const row = (index: number, label: string, change = 0, far = 0) => ({
      index,
      label,
      value: far > 0 ? change / far : 0,
    });
    bars.update([
      row(0, "before pooling", answer?.before, answer?.far_before),
      row(1, "after pooling", answer?.after, answer?.far_after),
    ]);
    const { before = 0, after = 0 } = answer ?? {};
    const changed = `Changed by ${three(before)} before and ${three(after)} after pooling;`;
    text(said, refusal ?? `${changed} bars: relative to a move by half the picture.`);
  }
}
