// What the colours and the marks of the ribbon mean: those that occur in this network, no others.

import { fill, h } from "../dom.ts";
import { box } from "../small.ts";
import { colourKind, KINDS, type LayerChoice, type LayerRow } from "./layer.ts";

/** The kinds of these layers, then the doctor's marks under their blocks. */
export function legendOf(rows: readonly LayerRow[]): string[] {
  const leaves = rows.filter((row) => row.leaf);
  const kinds = new Set(leaves.map((row) => colourKind(row.kind)));
  const found: string[] = KINDS.filter((kind) => kinds.has(kind));
  if (leaves.some((row) => row.dead)) found.push("dead");
  if (leaves.some((row) => row.nan || row.inf)) found.push("NaN");
  return found;
}

/** The square of a kind's colour. */
export function swatch(kind: string): HTMLElement {
  return h("i", { class: `nbc-kind nbc-kind-${kind}` });
}

export function createLegend({ layers, onLayers }: LayerChoice) {
  const element = box("nbc-legend");
  const show = (): void => {
    fill(element, ...legendOf(layers()).map((name) => h("span", null, swatch(name), name)));
  };
  onLayers(show);
  show();
  return { element };
}
