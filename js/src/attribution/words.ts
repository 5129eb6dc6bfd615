// Results in words.

import { percent, three } from "../lib/format.ts";
import { probability } from "../lib/scores.ts";
import type { Evidence, MethodResult, Results, Terms, Unit } from "./results.ts";

/** "channel 17 at (3, 4)". */
export function sayUnit(unit: Unit): string {
  const [channel, what, x] = unit;
  return `channel ${channel} ${x === undefined ? what : `at (${what}, ${x})`}`;
}

/** The score that is explained, always with its kind. */
export function sayScore(results: Results): string {
  const { score_name: name, score, unit, probability: p, target } = results;
  const what = `${target.other === null ? "" : "difference of "}${name}`;
  const said = `${what} ${name === "probability" ? probability(score) : three(score)}`;
  if (unit || p === null || p === undefined || name === "probability") return said;
  return `${said} · probability ${probability(p)}`;
}

/** What has to be known about one result, besides its picture. */
export function sayNotes({ notes, completeness, done, total, layer }: MethodResult): string {
  const said = [...notes];
  if (layer && !notes.some((note) => note.includes(layer))) said.push(`Maps of ${layer}.`);
  if (done < total) said.push(`${done} of ${total} samples.`);
  if (completeness && !said.some((note) => note.includes("add up"))) {
    const { attributed, difference, error } = completeness;
    const off = error === null ? "" : `, ${percent(error)} off`;
    said.push(`Adds up to ${three(attributed)} of ${three(difference)}${off}.`);
  }
  return said.join(" ");
}

/** What random weights say about a method. */
export function sayRandom({ remaining }: Evidence): string {
  if (remaining === null) return "";
  const size = Math.abs(remaining);
  const how = size < 0.3 ? "depends" : size < 0.6 ? "depends in part" : "hardly depends";
  return `With random weights ${three(remaining)} alike: it ${how} on what was learnt.`;
}

/** What has to be said of a map that does worse than none. */
export function sayDoubt({ deletion, deletion_by_chance: chance = null }: Evidence): string {
  if (deletion === null || chance === null || chance >= deletion) return "";
  return (
    "Deleting random pixels lowers the score faster than deleting what this map marks: " +
    "no evidence that the map is right."
  );
}

/** "0.123, worse than chance 0.456"; `low`: low is good. */
export function sayArea(area: number, chance: number, low: boolean): string {
  const word = area < chance === low ? "better" : "worse";
  return `${three(area)}, ${word} than chance ${three(chance)}`;
}

/** How far a running sum has come. */
export function saySum(terms: Terms, n: number, average: number): string {
  const { count, bias, score, maps } = terms;
  const added = n > maps.length ? count : n;
  const sum = `${added} of ${count} terms: mean ${three(average)}`;
  if (bias === null) return sum;
  return `${sum} + bias ${three(bias)} = ${three(average + bias)} of ${three(score)}`;
}

/** Within what 32 bits allow. */
export const HOLDS = 1e-3;
