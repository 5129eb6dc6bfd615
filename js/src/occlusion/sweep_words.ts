// A sweep in words.

import { duration, percent, plural, three } from "../lib/format.ts";
import { labelOf, type Place, type Sweep } from "./sweep.ts";

/** What hiding one square does, for the status line. */
export function sayPlace(sweep: Sweep, place: Place): string {
  const { target, prediction } = sweep;
  const { box, score, drop, predicted, pixel, known } = place;
  const flips = predicted !== prediction?.index;
  const parts = [
    `square at (${box.top}, ${box.left})`,
    `${target.name} ${known ? "" : "≈ "}${three(score)}`,
    `drop ${three(drop)}`,
    `${flips ? "now" : "still"} ${labelOf(sweep, predicted)}`,
    `mean drop of the pixel ${three(pixel)}`,
  ];
  return parts.join(" · ");
}

/** What a sweep was made with, and how far it came. */
export function saySweep(sweep: Sweep, running: boolean): string {
  const { window, stride, fill, score, done, total, complete, engine, seconds } = sweep;
  const short = ([a, b]: readonly [number, number]): string => (a === b ? `${a}` : `${a} x ${b}`);
  const places = complete || running ? plural(total, "place") : `${done} of ${total} places`;
  const how = `${score} of ${sweep.target.name}`;
  const what = `window ${short(window)}, stride ${short(stride)}, ${Array.isArray(fill) ? `rgb(${fill})` : fill}`;
  const time = running ? "" : ` · ${duration(seconds * 1000)}${engine ? ` · ${engine}` : ""}`;
  return `${complete || running ? "" : "incomplete: "}${places} · ${how} · ${what}${time}`;
}

/** The share of the places at which the answer is another one. */
export function sayFlips(sweep: Sweep): string {
  const all = sweep.predicted.length || 1;
  const flips = sweep.predicted.filter((index) => index !== sweep.prediction?.index).length;
  if (flips === 0) return "the answer never changes";
  return `the answer changes at ${plural(flips, "place")} (${percent(flips / all)})`;
}
