// CAM as arithmetic: class weights times maps, added one after the other until they are the CAM.

import type { Packed } from "../lib/codec.ts";
import { entry, table } from "../lib/colormap.ts";
import { slider } from "../lib/controls.ts";
import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { createPicture } from "../lib/picture.ts";
import { box, clamp, focused, span, stride, take } from "../lib/small.ts";
import { pixelCanvas } from "../lib/tiles.ts";
import { mean, readTerms, running, steps, type Terms, term } from "./results.ts";
import type { Session } from "./session.ts";
import { HOLDS, saySum } from "./words.ts";

export function createTermsPanel(session: Session): HTMLElement {
  const { signal } = session.shell;
  const why = h("p", { class: "nbc-muted" });
  const bars = h("div", {
    class: "at-terms",
    role: "radiogroup",
    "aria-label": "terms of the CAM",
  });
  const [one, sum, whole] = ["term", "sum", "cam"].map((role) => createMap(role, signal)) as [
    SmallMap,
    SmallMap,
    SmallMap,
  ];
  const count = slider(
    { label: "running sum", min: 0, max: 1, value: 1, bare: true, onInput: mark },
    signal,
  );
  const words = h("p", { class: "at-sum", "data-role": "sum" });
  const checks = h("ul", { class: "at-checks", "data-role": "checks" });
  const maps = box("at-maps", one.element, sum.element, whole.element);
  const inside = box("at-inside", bars, count.el, words, maps, checks);
  const summary = h("summary", null, "CAM as arithmetic");
  const element = h("details", { class: "at-panel", "data-role": "terms" }, summary, why, inside);
  let read: Packed | undefined;
  let terms: Terms;
  let total = 0;
  let picked = 0;
  /** One range for the sum and the CAM, so that colours can be compared. */
  let most = 0;
  on(element, "toggle", () => session.showTerms(element.open), signal);
  on(bars, "click", (event) => pick([...bars.children].indexOf(event.target as Element)), signal);
  on(bars, "keydown", key, signal);
  session.on(["terms", "question"], show);
  return element;

  function show(): void {
    const { terms: blob } = session.got;
    const unit = session.unit.get() && "A CAM explains classes, no units.";
    text(why, unit || session.noTerms);
    inside.hidden = !blob || why.textContent !== "";
    if (!blob || blob === read) return;
    read = blob;
    terms = readTerms(blob);
    total = steps(terms);
    const cam = running(terms, total);
    most = largest(cam);
    whole.show(cam, terms, most, "the CAM");
    setProps(count.input, { max: total });
    count.value = total;
    build();
    fill(checks, ...terms.checks.map(check));
    pick(0);
  }

  /** A bar a term, up when it speaks for the class; the last one is all the others together. */
  function build(): void {
    const shares = Array.from({ length: total }, (_, i) => mean(term(terms, i)));
    // Where zero is, in percent from the bottom.
    const below = Math.max(0, ...shares.map((share) => -share));
    const scale = 100 / (below + Math.max(0, ...shares) || 1);
    bars.style.setProperty("--at-zero", `${below * scale}%`);
    const all = shares.map((share, i) => {
      const bar = h("i");
      bar.style.height = `${scale * Math.abs(share)}%`;
      const { maps, order, weights } = terms;
      const channel = order[i] as number;
      const weight = `channel ${channel}: weight ${three(weights[channel])}`;
      const what = i < maps.length ? weight : `the other ${terms.count - i} terms`;
      const title = `${what}, adds ${three(share)}`;
      const sign = share < 0 ? "down" : "up";
      return h("div", { role: "radio", "data-sign": sign, "aria-label": title, title }, bar);
    });
    fill(bars, ...all);
  }

  function pick(rank: number): void {
    if (rank < 0) return;
    picked = rank;
    const values = term(terms, rank);
    const bar = bars.children[rank] as HTMLElement;
    one.show(values, terms, largest(values), bar.title);
    mark();
    if (bars.contains(focused(bars))) bar.focus();
  }

  function key(event: KeyboardEvent): void {
    const by = stride(event);
    if (by === 0) return;
    take(event);
    pick(clamp(picked + by, 0, total - 1));
  }

  /** Which term is shown, which are added, and what the sum is. */
  function mark(): void {
    const n = count.value;
    for (const [i, bar] of [...bars.children].entries()) {
      const now = i === picked;
      setProps(bar, { "aria-checked": String(now), tabindex: now ? 0 : -1, "data-added": i < n });
    }
    const values = running(terms, n);
    const said = saySum(terms, n, mean(values));
    text(words, said);
    setProps(count.input, { "aria-valuetext": said });
    sum.show(values, terms, most, n === total ? "all terms: the CAM" : `the sum of ${n}`);
  }
}

/** An identity, with both its sides and a mark. */
function check({ name, left, right, error }: Terms["checks"][number]): HTMLElement {
  const holds = error < HOLDS;
  const mark = span(holds ? "at-holds" : "nbc-bad", holds ? "✓" : "✗");
  const sides = [left, right].map((side) => side.toPrecision(6)).join(" = ");
  const off = span("nbc-muted", ` ${holds ? "holds" : "fails"}, off by ${error.toExponential(0)}`);
  return h("li", null, mark, ` ${name}: ${sides}`, off);
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

type SmallMap = ReturnType<typeof createMap>;

/** A small map in blue and red around zero. */
function createMap(role: string, signal: AbortSignal) {
  const canvas = h("canvas", { class: "at-canvas", "data-role": role, role: "img" });
  const picture = createPicture(canvas, signal, true);
  const title = h("figcaption", { class: "nbc-muted" });
  const element = h("figure", { class: "at-small" }, canvas, title);
  return { element, show };

  function show(values: Float32Array, { size }: Terms, most: number, said: string): void {
    const colours = table("RdBu_r");
    const [height, width] = size;
    const map = pixelCanvas(width, height, (pixels) => {
      values.forEach((value, i) => {
        pixels[i] = colours[entry(value, -most, most)] as number;
      });
    });
    picture.show(map, width, height);
    text(title, said);
    setProps(canvas, { "aria-label": said });
  }
}
