// Class scores as bars of fixed length: a list whose rows stay where they are while values change.

import { h, setProps, text } from "./dom.ts";
import { three } from "./format.ts";

export interface Score {
  /** Index of the class. */
  index: number;
  label: string;
  /** 0..1: probability now. */
  value: number;
  /** 0..1: what it was; drawn as a dashed ghost, with the change beside the value. */
  reference?: number | null;
  /** Shown on hover. */
  detail?: string;
}

interface Row {
  item: HTMLElement;
  label: HTMLElement;
  bar: HTMLElement;
  ghost: HTMLElement;
  value: HTMLElement;
  change: HTMLElement;
}

const WIDE = 100;

/** "0.379": probabilities always with three decimals, so that the column does not jump. */
export function probability(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : three(value);
}

/** "+0.045" or "-0.187", with an ordinary minus for screen readers. */
export function signedChange(change: number): string {
  const rounded = change.toFixed(3);
  if (Number(rounded) === 0) return "0.000";
  return change > 0 ? `+${rounded}` : rounded;
}

export class Scores {
  readonly element: HTMLElement;
  readonly #rows = new Map<number, Row>();

  constructor(label = "prediction") {
    this.element = h("ol", { class: "nbc-scores", "data-role": "scores", "aria-label": label });
  }

  /** Show these classes in this order; rows of classes that stay are changed in place. */
  update(scores: readonly Score[]): void {
    const wanted = new Set(scores.map((score) => score.index));
    for (const [index, row] of this.#rows) {
      if (wanted.has(index)) continue;
      row.item.remove();
      this.#rows.delete(index);
    }
    scores.forEach((score, place) => {
      const row = this.#rows.get(score.index) ?? this.#add(score.index);
      const before = this.element.children[place] ?? null;
      if (before !== row.item) this.element.insertBefore(row.item, before);
      this.#write(row, score);
    });
  }

  #add(index: number): Row {
    const part = (name: string) => h("span", { class: `nbc-score-${name}` });
    const bar = part("bar");
    const ghost = part("ghost");
    const track = h("span", { class: "nbc-score-track", "aria-hidden": "true" }, bar, ghost);
    const label = part("label");
    const value = part("value");
    const change = part("change");
    const item = h("li", { "data-class": index }, label, track, value, change);
    const row = { item, label, bar, ghost, value, change };
    this.#rows.set(index, row);
    return row;
  }

  #write(row: Row, score: Score): void {
    const reference = score.reference ?? null;
    setProps(row.item, { title: score.detail ?? score.label });
    text(row.label, score.label);
    text(row.value, probability(score.value));
    row.bar.style.width = share(score.value);
    row.ghost.style.width = share(reference ?? 0);
    row.ghost.hidden = reference === null;
    row.change.hidden = reference === null;
    const change = reference === null ? 0 : score.value - reference;
    text(row.change, reference === null ? "" : signedChange(change));
    row.change.dataset.sign = change > 0.0005 ? "up" : change < -0.0005 ? "down" : "same";
  }
}

function share(value: number): string {
  const part = Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : 0;
  return `${(part * WIDE).toFixed(1)}%`;
}
