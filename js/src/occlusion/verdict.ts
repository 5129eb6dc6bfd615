// The scores under the mask, and what they mean in words.

import { percent } from "../lib/format.ts";
import { probability } from "../lib/scores.ts";

export interface Measured {
  logit: number;
  probability: number;
}

export interface ClassScore extends Measured {
  index: number;
  label: string;
  /** Of the picture with nothing hidden. */
  before: Measured;
}

/** What lane "scores" answers. */
export interface Scores {
  classes: ClassScore[];
  predicted: { index: number; label: string };
  clean: { index: number; label: string };
  /** Share of the picture, 0..1. */
  hidden: number;
}

export interface Verdict {
  /** The answer or, if it is another one than before, both. */
  name: string;
  /** What became of it. */
  what: string;
  flipped: boolean;
  numbers: string;
}

/** What hiding has done to the answer. */
export function verdict({ classes, predicted, clean, hidden }: Scores): Verdict {
  const flipped = predicted.index !== clean.index;
  const [was = "", now = ""] = [clean.index, predicted.index].map((index) => {
    const found = classes.find((each) => each.index === index);
    if (!found) return "";
    const ends = [found.before, found].map((each) => probability(each.probability));
    return ends[0] === ends[1] ? ends[0] : ends.join(" → ");
  });
  const share = hidden > 0 ? `${percent(hidden)} of the picture hidden` : "nothing hidden";
  if (flipped) {
    // Two names take their room.
    const numbers = `${clean.label} ${was} · ${predicted.label} ${now} · ${percent(hidden)} hidden`;
    return { name: `was ${clean.label}, now ${predicted.label}`, what: "", flipped, numbers };
  }
  const what = hidden > 0 ? "still the answer" : "the answer";
  return { name: predicted.label, what, flipped, numbers: `${was} · ${share}` };
}

/** The same for somebody who listens. */
export function spoken(scores: Scores): string {
  const { name, what, flipped, numbers } = verdict(scores);
  const answer = flipped ? `The answer has changed: ${name}` : `${name}, ${what}`;
  return `${answer}, ${numbers.replaceAll(" → ", " to ")}`;
}

/** A class by what was typed: its label, its label with its number, or its number. */
export function findClass(typed: string, classes: readonly string[]): number | null {
  const text = typed.trim();
  const named = classes.indexOf(text);
  if (named >= 0) return named;
  const number = /^(?:.* · )?(\d+)$/.exec(text)?.[1];
  if (number !== undefined && (classes.length === 0 || Number(number) < classes.length)) {
    return Number(number);
  }
  const folded = text.toLowerCase();
  const likely = classes.findIndex((label) => label.toLowerCase() === folded);
  return likely >= 0 ? likely : null;
}

/** Names for a list to choose from: at most `most` that hold what was typed. Two classes of one
 * name are told apart by their numbers. */
export function suggestions(typed: string, classes: readonly string[], most = 50): string[] {
  const folded = typed.trim().toLowerCase();
  const found: string[] = [];
  for (let i = 0; i < classes.length && found.length < most; i++) {
    const label = classes[i] as string;
    if (!label.toLowerCase().includes(folded)) continue;
    const twin = classes.indexOf(label) !== i || classes.indexOf(label, i + 1) >= 0;
    found.push(twin ? `${label} · ${i}` : label);
  }
  return found;
}
