// The histogram of one channel on a small canvas, with zero marked.

import { h } from "../lib/dom.ts";
import { plural, three } from "../lib/format.ts";
import { surface } from "../lib/tiles.ts";
import type { Shell } from "../lib/view.ts";
import { type Histogram, histogram } from "./histogram.ts";
import { clamp } from "./small.ts";

const HEIGHT = 72;
const FOOT = 14;

export function createHistogramView(shell: Shell) {
  const element = h("canvas", { class: "fm-histogram", role: "img", "data-role": "histogram" });
  let found: Histogram | null = null;
  let marked: number | null = null;

  shell.onDraw(paint);

  function show(values: Float32Array | null): void {
    found = values && histogram(values);
    const { lo, hi, total } = found ?? { lo: 0, hi: 0, total: 0 };
    element.setAttribute(
      "aria-label",
      `histogram of ${plural(total, "value")} from ${three(lo)} to ${three(hi)}`,
    );
    shell.redraw();
  }

  /** Point at one value; null takes the pointer away. */
  function mark(value: number | null): void {
    if (marked === value) return;
    marked = value;
    shell.redraw();
  }

  function paint(): void {
    const width = element.clientWidth;
    const context = surface(element, width, HEIGHT);
    if (context && found) bars(context, found, width);
  }

  function bars(context: CanvasRenderingContext2D, found: Histogram, width: number): void {
    const { theme } = shell;
    const { counts, lo, hi, zero } = found;
    const base = HEIGHT - FOOT;
    const step = width / counts.length;
    // The bin of the exact zeros of a ReLU would flatten all others: roots keep both in sight.
    const most = Math.sqrt(Math.max(1, ...counts));
    const [muted, accent] = [theme.color("--nbc-muted"), theme.color("--nbc-accent")];
    counts.forEach((count, i) => {
      const high = count ? Math.max(1, (Math.sqrt(count) / most) * (base - 4)) : 0;
      context.fillStyle = i === zero ? muted : accent;
      context.fillRect(i * step, base - high, Math.max(1, step - 1), high);
    });
    context.fillStyle = theme.color("--nbc-line");
    context.fillRect(0, base, width, 1);
    const place = (value: number) => (hi > lo ? ((value - lo) / (hi - lo)) * width : 0);
    context.font = `10px ${theme.color("--nbc-font") || "sans-serif"}`;
    context.textBaseline = "bottom";
    context.fillStyle = muted;
    const [left, right] = [three(lo), three(hi)];
    context.textAlign = "left";
    context.fillText(left, 0, HEIGHT);
    context.textAlign = "right";
    if (hi > lo) context.fillText(right, width, HEIGHT);
    if (zero >= 0 && lo < 0) {
      const x = place(0);
      context.fillRect(Math.round(x), 0, 1, base);
      context.textAlign = "center";
      const room = [context.measureText(left).width, context.measureText(right).width];
      if (x > (room[0] as number) + 8 && x < width - (room[1] as number) - 8) {
        context.fillText("0", x, HEIGHT);
      }
    }
    if (marked !== null && Number.isFinite(marked)) {
      context.fillStyle = theme.color("--nbc-fg");
      context.fillRect(clamp(place(marked) - 1, 0, width - 2), 0, 2, base);
    }
  }
  return { element, show, mark };
}
