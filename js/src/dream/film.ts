// Frames and trace of a run as they come in: kept in order, thinned evenly, never of two plans.

import type { Frame, Point } from "./record.ts";

/** So many frames are kept, as in the kernel. */
export const MOST = 24;
/** So many points; a screen is not wider. */
const POINTS = 2000;

/** These frames without those that stand closest, until few enough are left. First and last stay,
 * and so does the one that is looked at. */
export function thin(frames: readonly Frame[], most = MOST, keep: Frame | null = null): Frame[] {
  const left = [...frames];
  const at = (i: number): number => left[i]?.step ?? 0;
  while (left.length > Math.max(2, most)) {
    let closest = -1;
    for (let i = 1; i < left.length - 1; i++) {
      const gap = at(i + 1) - at(i - 1);
      const least = closest < 0 ? Number.POSITIVE_INFINITY : at(closest + 1) - at(closest - 1);
      if (left[i] !== keep && gap < least) closest = i;
    }
    if (closest < 0) break;
    left.splice(closest, 1);
  }
  return left;
}

/** Put a frame in; those at its step or later were of another plan. */
export function addFrame(frames: readonly Frame[], frame: Frame, keep: Frame | null): Frame[] {
  return thin([...frames.filter(({ step }) => step < frame.step), frame], MOST, keep);
}

/** A film of the kernel's with the frames of it that are here already, which are larger. None is
 * later than `now`. */
export function mergeFrames(
  own: readonly Frame[],
  film: readonly Frame[],
  now: number,
  keep: Frame | null = null,
): Frame[] {
  const all = new Map(film.map((frame) => [frame.step, frame]));
  for (const frame of own) if (frame.step <= now) all.set(frame.step, frame);
  return thin(
    [...all.values()].sort((a, b) => a.step - b.step),
    MOST,
    keep,
  );
}

/** Points of which some may have come before; what is said last counts. None is later than `now`. */
export function mergeTrace(old: readonly Point[], more: readonly Point[], now: number): Point[] {
  const all = new Map([...old, ...more].filter(([step]) => step <= now));
  const points = [...all].sort(([a], [b]) => a - b);
  if (points.length <= POINTS) return points;
  return points.filter((_, i) => i % 2 === 0 || i === points.length - 1);
}

/** Place of the frame nearest to a step. */
export function nearestFrame(frames: readonly Frame[], step: number): number {
  let best = 0;
  frames.forEach((frame, i) => {
    const off = Math.abs(frame.step - step);
    if (off < Math.abs((frames[best] as Frame).step - step)) best = i;
  });
  return best;
}

/** The frame for each of some equal places on the way to the last step; null: not there yet. */
export function slots(frames: readonly Frame[], steps: number, count: number): Array<Frame | null> {
  const last = frames.at(-1)?.step ?? 0;
  return Array.from({ length: count }, (_, i) => {
    if ((i / count) * steps >= last) return null;
    const step = Math.min(last, ((i + 0.5) / count) * steps);
    return frames[nearestFrame(frames, step)] ?? null;
  });
}
