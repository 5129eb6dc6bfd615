// sum over k of w_k GAP_k, and the bias: what each channel adds to a class's score, stacked.

import { createClassPicker } from "../lib/classes.ts";
import { button } from "../lib/controls.ts";
import { fill, h, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { box, span } from "../lib/small.ts";
import { type Contributions, type Gap, type Part, partsOf } from "./gap.ts";
import type { Session } from "./session.ts";

export function createContributions(session: Session, gap: Gap) {
  const { shell } = session;
  const { signal } = shell;
  const classes = createClassPicker(shell, {
    label: "class",
    none: "predicted class",
    names: () => gap.names,
    shown: () => gap.here?.label ?? "",
    choose: gap.choose,
  });
  const said = h("p", { "data-role": "sum" });
  const rows = box("po-rows");
  const element = box("po-contributions", shell.needsKernel(classes.element), said, rows);
  let painted: Contributions | null = null;
  session.on(["shown", "tiles"], show);
  return { element };

  function show(): void {
    const { found, refusal, here } = gap;
    classes.element.hidden = rows.hidden = !here;
    if (!here) text(said, refusal ?? (found ? `The network averages at ${found.pool}.` : ""));
    if (here === painted) return;
    painted = here;
    if (!here) return;
    const { bias, logit, total, agrees, label } = here;
    classes.show();
    const sum = `Σ w·GAP + b = ${three(total - bias)} + ${three(bias)} = ${three(total)} `;
    const equal = h("strong", { "data-role": "check", "data-agrees": agrees }, agrees ? "✓" : "✗");
    fill(said, h("strong", null, sum), equal, ` the network's logit of ${label}: ${three(logit)}`);
    paint(here);
  }

  /** Each part begins where the one before it ended, and the score is where they all end. */
  function paint({ products, bias, total }: Contributions): void {
    const parts: Part[] = [...partsOf(products, 1), ...partsOf(products, -1)];
    parts.push({ label: "bias", value: bias });
    let end = 0;
    const ends = [0, ...parts.map(({ value }) => (end += value))];
    const low = Math.min(...ends);
    const scale = 100 / (Math.max(...ends) - low || 1);
    const row = ({ label, value, channel }: Part, from: number): HTMLElement => {
      const bar = h("i", { "data-sign": value < 0 ? "down" : "up" });
      bar.style.left = `${(Math.min(from, from + value) - low) * scale}%`;
      bar.style.width = `${Math.abs(value) * scale}%`;
      const choose = () => channel !== undefined && session.channel.set(channel);
      const name = button({ label, onClick: choose }, signal);
      name.disabled = channel === undefined;
      return box(
        "po-part",
        name,
        span("nbc-score-track", bar),
        span("nbc-score-value", three(value)),
      );
    };
    const logit = row({ label: "logit", value: total }, 0);
    fill(rows, ...parts.map((part, i) => row(part, ends[i] ?? 0)), logit);
  }
}
