// Whether a picture can be believed: what deleting and inserting its pixels does to the score, and
// what random weights leave of it. Asked for with a button, for it takes many passes.

import type { Packed } from "../lib/codec.ts";
import { button } from "../lib/controls.ts";
import { h, text } from "../lib/dom.ts";
import { box, span } from "../lib/small.ts";
import { type Evidence, numbers } from "./results.ts";
import type { Session } from "./session.ts";
import { sayArea, sayDoubt, sayRandom } from "./words.ts";

export function createEvidence(session: Session, name: string, signal: AbortSignal) {
  const label = `evidence for ${session.title(name)}`;
  const ask = () => session.askFor("evidence", { method: name });
  const run = button({ label, glyph: "evidence", onClick: ask }, signal);
  const curves = [createCurve("deletion", "hidden"), createCurve("insertion", "put in")];
  const doubt = h("p", { class: "at-random at-doubt", "data-role": "doubt" });
  const random = h("p", { class: "at-random nbc-muted", "data-role": "random" });
  const found = box("at-curves", ...curves.map(({ element }) => element), doubt, random);
  const element = h(
    "div",
    { class: "at-evidence", "data-role": "evidence" },
    session.shell.needsKernel(run),
    found,
  );
  session.on(["evidence"], show);
  show();
  return { element };

  function show(): void {
    const blob = session.evidence.get(name);
    run.hidden = blob !== undefined;
    found.hidden = !blob;
    if (!blob) return;
    const evidence = blob.meta as Evidence;
    for (const curve of curves) curve.show(blob);
    text(doubt, sayDoubt(evidence));
    text(random, [sayRandom(evidence), ...evidence.notes].filter(Boolean).join(" "));
  }
}

/** A curve as an area from 0 to its highest point; the line: the pixels in random order. */
function createCurve(kind: "deletion" | "insertion", what: string) {
  const area = span("at-area");
  const chance = span("at-chance");
  const plot = box("at-plot", area, chance);
  const words = span("nbc-muted");
  const title = `The score while its pixels are ${what}`;
  const element = h("div", { class: "at-curve", title, "data-curve": kind }, plot, words);
  return { element, show };

  function show(blob: Packed): void {
    const chances = `${kind}_by_chance`;
    const [own, other] = [numbers(blob, kind), numbers(blob, chances)];
    const most = Math.max(1e-12, ...own, ...other);
    element.hidden = !own.length;
    area.style.clipPath = polygon(own, most, true);
    chance.hidden = !other.length;
    chance.style.clipPath = polygon(other, most, false);
    text(words, `${kind} ${sayArea(blob.meta[kind], blob.meta[chances], kind === "deletion")}`);
    element.dataset.auc = blob.meta[kind];
  }
}

/** Corners of the area under a curve of equal steps, or of a thin band along it. */
function polygon(values: Float32Array, most: number, filled: boolean): string {
  const line = (down: number): string[] =>
    Array.from(values, (value, i) => {
      const x = (100 * i) / (values.length - 1);
      return `${x}% calc(${100 * (1 - Math.max(0, value) / most)}% + ${down}px)`;
    });
  return `polygon(${[...line(0), ...(filled ? ["100% 100%", "0 100%"] : line(1.5).reverse())].join()})`;
}
