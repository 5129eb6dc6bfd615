// Which methods, and how they are shown. Only the methods ask the kernel.

import { DIVERGING, NAMES } from "../lib/colormap.ts";
import { checkbox, select, slider } from "../lib/controls.ts";
import { h, on, text } from "../lib/dom.ts";
import { percent } from "../lib/format.ts";
import { box } from "../lib/small.ts";
import type { Reduce } from "./heat.ts";
import { MOST, type Session } from "./session.ts";

export function createToolbar(session: Session): HTMLElement {
  const { shell, reduce, share } = session;
  const { signal } = shell;
  const over = checkbox(
    {
      label: "overlay",
      value: session.over,
      onChange: (value) => session.change({ over: value }),
    },
    signal,
  );
  const slide = (
    label: string,
    min: number,
    value: number,
    onInput: (value: number) => void,
    more: { format?: (value: number) => string } = {},
  ) => slider({ label, min, max: 100, value, unit: " %", onInput, ...more }, signal);
  const opacity = slide("opacity", 0, 100 * session.opacity, (value) =>
    session.change({ opacity: value / 100 }),
  );
  const values = select<Reduce>(
    {
      label: "values",
      options: [
        ["abs", "absolute"],
        ["signed", "signed"],
        ["positive", "positive"],
      ],
      value: reduce.get(),
      onChange: (value) => reduce.set(value),
    },
    signal,
  );
  const colours = select<string>(
    {
      label: "colours",
      options: [
        "auto",
        ...NAMES.map((name) => [name, DIVERGING.has(name) ? `${name} ±` : name] as const),
      ],
      value: session.colours,
      onChange: (name) => session.change({ colours: name }),
    },
    signal,
  );
  // The percentile at which the colours end.
  const contrast = slide("contrast", 80, 100 * session.contrast, (value) =>
    session.change({ contrast: value / 100 }),
  );
  // Fine steps where little is kept.
  const toShare = (value: number) => (value >= 100 ? 1 : (value / 100) ** 2);
  const cut = (value: number): void => {
    delete session.got.mask;
    session.emit("mask");
    share.set(toShare(value));
  };
  const keep = slide("threshold", 5, 100, cut, {
    format: (value) => (value < 100 ? `top ${percent(toShare(value))}` : "off"),
  });
  session.on(["look"], () => {
    values.value = reduce.get();
    const now = share.get() ?? 1;
    if (Math.abs(toShare(keep.value) - now) > 1e-6) keep.value = Math.round(100 * Math.sqrt(now));
    (opacity.input as HTMLInputElement).disabled = !session.over;
  });
  const rest = [over.el, opacity.el, values.el, colours.el, contrast.el, keep.el];
  return box("at-tools", createMethods(session), ...rest);
}

/** The list of methods, behind one button. */
function createMethods(session: Session): HTMLElement {
  const { shell, methods } = session;
  const { signal } = shell;
  const list = h("div", { class: "at-list", role: "group", "aria-label": "methods", tabindex: -1 });
  const summary = h("summary");
  const element = h("details", { class: "at-methods", "data-role": "methods" }, summary, list);
  const all = session.known.get() ?? [];
  const boxes = all.map(({ name, title, paper, formula }) =>
    checkbox(
      {
        label: title,
        title: `${paper}\n${formula}`,
        value: false,
        onChange: (shown) => {
          session.setMethod(name, shown);
          show();
        },
      },
      signal,
    ),
  );
  for (const { el } of boxes) list.append(el);
  const shut = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !element.open) return;
    event.stopPropagation();
    summary.focus();
    element.open = false;
  };
  const leave = ({ relatedTarget }: FocusEvent): void => {
    if (!element.contains(relatedTarget as Node)) element.open = false;
  };
  on(element, "keydown", shut, signal);
  on(element, "focusout", leave, signal);
  session.on(["question"], show);
  return shell.needsKernel(element);

  function show(): void {
    const shown = methods.get();
    const unit = session.unit.get() !== null;
    text(summary, `methods · ${shown.length} of ${all.length}`);
    boxes.forEach((each, i) => {
      const { name = "", is_cam = false } = all[i] ?? {};
      each.value = shown.includes(name);
      const last = each.value && shown.length === 1;
      const full = !each.value && shown.length >= MOST;
      (each.input as HTMLInputElement).disabled = last || full || (unit && is_cam);
    });
  }
}
