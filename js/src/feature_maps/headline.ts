// The line of the layer: its name (the picker), what it is, what it sees, what ails it.

import { fill, h } from "../lib/dom.ts";
import { shape } from "../lib/format.ts";
import { compact, marks } from "./describe.ts";
import type { LayerRow } from "./layer_maps.ts";
import { createPicker } from "./picker.ts";
import type { Session } from "./session.ts";
import { box } from "./small.ts";

interface Fact {
  words: string;
  bad?: boolean;
}

/** What is worth saying about a layer, in order. */
export function facts(row: LayerRow): Fact[] {
  const found: Fact[] = [{ words: row.module }, { words: shape(row.shape) }];
  if (row.field) {
    const [height, width] = row.field;
    const size = height === width ? `${height}` : `${height} x ${width}`;
    found.push({ words: `sees ${size} px` });
  }
  if (row.parameters) found.push({ words: `${compact(row.parameters)} parameters` });
  return [...found, ...marks(row).map((words) => ({ words, bad: /^(NaN|Inf)/.test(words) }))];
}

export function createHeadline(session: Session) {
  const line = h("p", { class: "fm-facts nbc-muted", "data-role": "facts" });

  const element = box("fm-headline", createPicker(session).element, line);
  session.on(["stale", "layers"], show);

  function show(): void {
    const { row } = session;
    const parts = (row ? facts(row) : []).flatMap(({ words, bad }, i) => [
      i > 0 && h("span", { "aria-hidden": "true" }, " · "),
      h("span", { class: bad ? "fm-bad" : null }, words),
    ]);
    fill(line, ...parts);
  }
  return { element };
}
