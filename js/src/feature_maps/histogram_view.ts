// The histogram of one channel: a bar a bin, with zero and the value under the pointer marked.

import { fill, h, setProps } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { box, clamp, span } from "../lib/small.ts";
import { histogram } from "./histogram.ts";

export function createHistogramView() {
  const bars = box("fm-bars");
  const marker = h("b", { hidden: true });
  const ends = box("fm-ends");
  const parts = [bars, marker, ends];
  const element = h(
    "div",
    { class: "fm-histogram", role: "img", "data-role": "histogram" },
    ...parts,
  );
  let lo = 0;
  let hi = 0;
  return { element, show, mark };

  function show(values: Float32Array | null): void {
    const found = histogram(values ?? new Float32Array());
    ({ lo, hi } = found);
    // The bin of the exact zeros of a ReLU would flatten all others: roots keep both in sight.
    const most = Math.sqrt(Math.max(1, ...found.counts));
    const bar = (count: number, i: number): HTMLElement => {
      const one = h("i", { class: i === found.zero ? "fm-zero" : null });
      one.style.height = count ? `max(1px, ${(Math.sqrt(count) / most) * 100}%)` : "0";
      return one;
    };
    fill(bars, ...Array.from(found.counts, bar));
    const zero = span("fm-at-zero", "0");
    zero.style.left = place(0);
    const inner = -lo / (hi - lo);
    fill(ends, span("", three(lo)), inner > 0.12 && inner < 0.88 && zero, span("", three(hi)));
    setProps(element, { "aria-label": `histogram from ${three(lo)} to ${three(hi)}` });
    mark(null);
  }

  /** Point at one value; null takes the pointer away. */
  function mark(value: number | null): void {
    marker.hidden = value === null || !Number.isFinite(value);
    if (value !== null) marker.style.left = place(value);
  }

  function place(value: number): string {
    return `${hi > lo ? clamp((value - lo) / (hi - lo), 0, 1) * 100 : 0}%`;
  }
}
