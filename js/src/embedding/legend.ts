// What the colours mean: values that can be hidden, shown alone and selected; numbers as a bar.

import { createColourBar } from "../lib/colour_bar.ts";
import { button, select } from "../lib/controls.ts";
import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { plural } from "../lib/format.ts";
import { span } from "../lib/small.ts";
import { classColours, css, NOTHING, scaleTable } from "./palette.ts";
import { NONE } from "./points.ts";
import type { Session } from "./session.ts";

/** So many values are listed; the others are found by searching. */
const MOST = 60;

export function createLegend(session: Session): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  const by = select<string>(
    {
      label: "colour by",
      options: [],
      value: "",
      onChange: (key) => session.colourBy.set(key),
    },
    signal,
  );
  const bar = createColourBar();
  const list = h("ul", { class: "em-legend", "data-role": "legend" });
  const more = h("p", { class: "nbc-muted em-note" });
  let rows: HTMLElement[] = [];
  session.on(["points", "colours"], build);
  session.on(["states"], mark);
  on(list, "pointerleave", () => session.pointLegend(-1), signal);
  build();
  return h("section", { "aria-label": "colours" }, by.el, list, more, bar.element);

  function build(): void {
    const { column, points } = session;
    by.setOptions(points.columns.map(({ key, title }) => [key, title] as const));
    by.value = column?.key ?? "";
    by.el.hidden = points.columns.length === 0;
    bar.element.hidden = column?.kind !== "number";
    list.hidden = more.hidden = column?.kind !== "category";
    if (!column) return;
    if (column.numbers) bar.show(scaleTable(), [column.lo, column.hi]);
    const counts = new Map<number, number>();
    for (const code of column.codes ?? []) counts.set(code, (counts.get(code) ?? 0) + 1);
    const codes = [...column.values.keys(), NONE].filter((code) => counts.has(code));
    // Of too many to list, the most frequent.
    const often = (code: number): number => counts.get(code) as number;
    if (codes.length > MOST) codes.sort((one, two) => often(two) - often(one));
    const colours = classColours(column);
    rows = codes.slice(0, MOST).map((code) => {
      const word = column.values[code] ?? "none";
      return row(code, word, css(colours[code] ?? NOTHING), counts.get(code) as number);
    });
    fill(list, ...rows);
    setProps(list, { "aria-label": column.title });
    text(more, codes.length > MOST ? `and ${plural(codes.length - MOST, "more value")}` : "");
    mark();
  }

  function row(code: number, word: string, colour: string, count: number): HTMLElement {
    const swatch = span("em-swatch");
    swatch.style.background = colour;
    const glyph = span("em-word", swatch, span("nbc-clip", word), span("em-count", count));
    const show = button(
      {
        label: `show ${word}, ${plural(count, "point")}`,
        title: `${word}. Click: hide or show; twice: show it alone.`,
        glyph,
        onClick: () => session.hide(code),
      },
      signal,
    );
    setProps(show, { "data-value": word, class: "em-key" });
    const only = button(
      {
        label: `only ${word}`,
        title: "Show it alone; again: all",
        glyph: "only",
        ghost: true,
        onClick: () => session.only(code),
      },
      signal,
    );
    const pick = button(
      { label: `select ${word}`, glyph: "select", ghost: true, onClick: () => choose(code) },
      signal,
    );
    for (const each of [only, pick]) each.classList.add("em-act");
    const item = h("li", { "data-code": code }, show, span("em-acts-of", only, pick));
    on(show, "dblclick", () => session.only(code), signal);
    on(
      item,
      "pointerenter",
      () => session.pointLegend(session.hidden.has(code) ? -1 : code),
      signal,
    );
    return item;
  }

  function choose(code: number): void {
    const { column, points } = session;
    const found: number[] = [];
    for (let i = 0; i < points.count; i++) if (column?.codes?.[i] === code) found.push(i);
    session.select(session.flags(found));
  }

  function mark(): void {
    for (const item of rows) {
      const shown = !session.hidden.has(Number(item.dataset.code));
      setProps(item.firstElementChild as Element, { "aria-pressed": String(shown) });
    }
  }
}
