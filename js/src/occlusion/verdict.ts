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
