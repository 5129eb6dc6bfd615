// Class scores as bars of fixed length: a list whose rows stay where they are while values change.

import "./scores.css";
import { h, setProps, text } from "./dom.ts";
import { three } from "./format.ts";

export interface Score {
  /** Index of the class. */
  index: number;
  label: string;
  /** 0..1: probability now. */
  value: number;
  /** 0..1: what it was; shown by `createScores(label, addChange)`. */
  reference?: number | null;
  /** Shown on hover. */
  detail?: string;
}

/** What is added to a row once, and how it follows the score. */
export type Extra = (item: HTMLElement, track: HTMLElement) => (score: Score) => void;

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

const part = (name: string): HTMLElement => h("span", { class: `nbc-score-${name}` });

/** A dashed ghost bar of the reference value, and the change from it beside the value. */
export function addChange(item: HTMLElement, track: HTMLElement): (score: Score) => void {
  const ghost = part("ghost");
  const change = part("change");
  track.append(ghost);
  item.append(change);
  return ({ value, reference = null }) => {
    ghost.hidden = change.hidden = reference === null;
    if (reference === null) return;
    ghost.style.width = share(reference);
    const said = signedChange(value - reference);
    text(change, said);
    change.dataset.sign = said.startsWith("+") ? "up" : said.startsWith("-") ? "down" : "same";
  };
}

/** An empty list; `extra` adds to its rows, as `addChange` does. */
export function createScores(label = "prediction", extra?: Extra) {
  const rows = new Map<number, { item: HTMLElement; write: (score: Score) => void }>();
  const element = h("ol", { class: "nbc-scores", "data-role": "scores", "aria-label": label });

  /** Show these classes in this order; rows of classes that stay are changed in place. */
  function update(scores: readonly Score[]): void {
    const wanted = new Set(scores.map(({ index }) => index));
    for (const [index, { item }] of rows) {
      if (wanted.has(index)) continue;
      item.remove();
      rows.delete(index);
    }
    scores.forEach((score, place) => {
      const { item, write } = rows.get(score.index) ?? add(score.index);
      const before = element.children[place] ?? null;
      if (before !== item) element.insertBefore(item, before);
      write(score);
    });
  }

  function add(index: number) {
    const name = part("label");
    const bar = part("bar");
    const track = h("span", { class: "nbc-score-track", "aria-hidden": "true" }, bar);
    const value = part("value");
    const item = h("li", { "data-class": index }, name, track, value);
    const more = extra?.(item, track);
    const write = (score: Score): void => {
      setProps(item, { title: score.detail ?? score.label });
      text(name, score.label);
      text(value, probability(score.value));
      bar.style.width = share(score.value);
      more?.(score);
    };
    const row = { item, write };
    rows.set(index, row);
    return row;
  }

  return { element, update };
}

function share(value: number): string {
  return `${(Math.min(1, Math.max(0, value)) * 100 || 0).toFixed(1)}%`;
}
