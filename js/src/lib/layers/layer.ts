// The layers of a network as the trait `_layers` has them, the one that is chosen, both in words.

import "./layers.css";
import { percent, shape, three } from "../format.ts";
import type { Shell, Trait } from "../view.ts";

/** One row of the trait `_layers`. */
export interface LayerRow {
  name: string;
  label: string;
  module: string;
  kind: string;
  leaf: boolean;
  shape: number[];
  parameters: number;
  field: [number, number] | null;
  dead: number | null;
  saturated: number | null;
  nan: number;
  inf: number;
}

/** What the ribbon, the picker and the headline need of a widget. */
export interface LayerChoice {
  shell: Shell;
  layers(): readonly LayerRow[];
  /** Name of the chosen layer. */
  current: Trait<string>;
  /** Hear that there are other layers, or other marks on them. */
  onLayers(fn: () => void): void;
  /** Whether a layer can be chosen. */
  usable(row: LayerRow): boolean;
}

/** The choice among the layers of the trait `_layers`, kept in the trait `layer`. */
export function layerChoice(shell: Shell): LayerChoice {
  const rows = shell.trait<LayerRow[] | null>("_layers");
  return {
    shell,
    layers: () => rows.get() ?? [],
    current: shell.trait("layer"),
    onLayers: (fn) => rows.on(fn),
    usable: spatial,
  };
}

/** The row of the chosen layer. */
export function chosen({ layers, current }: LayerChoice): LayerRow | null {
  return layers().find((row) => row.name === current.get()) ?? null;
}

/** It has maps. */
export function spatial(row: LayerRow): boolean {
  return row.shape.length === 3;
}

/** The kinds with a colour of their own, in the order of the legend. */
export const KINDS = ["conv", "act", "norm", "pool", "merge", "linear", "other"] as const;

/** The colour group of a layer's kind. */
export function colourKind(kind: string): string {
  return (KINDS as readonly string[]).includes(kind) ? kind : "other";
}

/** 1234567 as "1.23 M", 34500 as "34.5 k". */
export function compact(count: number): string {
  if (count >= 999_500) return `${three(count / 1e6)} M`;
  return count >= 1000 ? `${three(count / 1e3)} k` : String(count);
}

/** What the doctor found: "NaN 12", "Inf 3", "dead 2.1 %". */
export function marks(row: LayerRow): string[] {
  const found: string[] = [];
  if (row.nan) found.push(`NaN ${row.nan}`);
  if (row.inf) found.push(`Inf ${row.inf}`);
  if (row.dead) found.push(`dead ${percent(row.dead / 100)}`);
  if (row.saturated) found.push(`saturated ${percent(row.saturated / 100)}`);
  return found;
}

/** One line for a tooltip or a screen reader. */
export function describeLayer(row: LayerRow): string {
  const parts = [row.label, row.module, shape(row.shape)];
  if (!spatial(row)) parts.push("no maps: its output has no rows and columns");
  return [...parts, ...marks(row)].join(" · ");
}
