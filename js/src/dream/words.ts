// A run in words.

import { three } from "../lib/format.ts";
import type { Point, Run } from "./record.ts";
import type { Session } from "./session.ts";

/** "step 40 of 120 · octave 2 of 4". */
export function sayStep(run: Run, part: string, step = run.step, octave = run.octave): string {
  const where = part && run.octaves > 1 ? ` · ${part} ${octave} of ${run.octaves}` : "";
  return `step ${step} of ${run.steps}${where}`;
}

/** What the stage shows: the newest picture, or a frame of the film. */
export function sayFrame({ run, cursor, kind }: Session): string {
  if (!cursor) return sayStep(run, kind.part);
  return `frame at ${sayStep(run, kind.part, cursor.step, cursor.octave)}`;
}

/** "objective from 1.24 at step 1 to 30.1 at step 40". */
export function sayTrace(measure: string, trace: readonly Point[]): string {
  const [first, last] = [trace[0], trace.at(-1)];
  if (!first || !last) return `${measure}: no step yet`;
  const [a, b] = [first, last].map(([step, value]) => `${three(value)} at step ${step}`);
  return trace.length === 1 ? `${measure}: ${a}` : `${measure} from ${a} to ${b}`;
}
