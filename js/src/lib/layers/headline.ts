// The line of the layer: its name (the picker), what it is, what it sees, what ails it; at its end
// what the colours of the ribbon above mean.

import { fill, h } from "../dom.ts";
import { shape } from "../format.ts";
import { box } from "../small.ts";
import { chosen, compact, type LayerChoice, type LayerRow, marks } from "./layer.ts";
import { createLegend } from "./legend.ts";
import { createPicker } from "./picker.ts";

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

export function createHeadline(choice: LayerChoice) {
  const line = h("p", { class: "nbc-facts nbc-muted", "data-role": "facts" });
  const parts = [createPicker(choice).element, line, createLegend(choice).element];
  const element = box("nbc-headline", ...parts);
  choice.onLayers(show);
  choice.current.on(show);
  show();

  function show(): void {
    const row = chosen(choice);
    const parts = (row ? facts(row) : []).flatMap(({ words, bad }, i) => [
      i > 0 && h("span", { "aria-hidden": "true" }, " · "),
      h("span", { class: bad ? "nbc-bad" : null }, words),
    ]);
    fill(line, ...parts);
  }
  return { element };
}
