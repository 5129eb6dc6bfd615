// Pooling in words and figures.

import { plural, shape, three } from "../lib/format.ts";
import { divisor, sides } from "./pool.ts";
import type { Lit, Shown } from "./session.ts";
import { arithmetic, type How } from "./settings.ts";
import { type Cell, readersOf, type Window, windowAt } from "./windows.ts";

/** 802816 as "802,816". */
export const grouped = (n: number): string => n.toLocaleString("en-US");

/** A share as "75 %" or "93.8 %". */
export const share = (x: number): string => `${Math.round(1000 * x) / 10} %`;

/** "(3, 4)" */
export const at = ({ y, x }: Cell): string => `(${y}, ${x})`;

/** What a pooling makes of maps: shapes, the arithmetic, numbers kept, what is not read. */
export function factsOf([channels, height, width]: readonly [number, number, number], how: How) {
  const [rows, columns] = arithmetic([height, width], how);
  const [before, after] = [height * width, rows.size * columns.size];
  const change = 1 - after / before;
  const fate = change > 0 ? "are dropped" : "more";
  const unread = [
    rows.unread && plural(rows.unread, "row"),
    columns.unread && plural(columns.unread, "column"),
  ].filter(Boolean);
  const dropped = "a window that begins in the padding does not count";
  return {
    shapes: `${shape([channels, height, width])} → ${shape([channels, rows.size, columns.size])}`,
    arithmetic:
      rows.formula === columns.formula
        ? rows.formula
        : `rows ${rows.formula}, columns ${columns.formula}`,
    numbers: `${grouped(channels * before)} numbers become ${grouped(channels * after)}; ${share(Math.abs(change))} ${fate}`,
    edges: [
      unread.length ? `in no window: ${unread.join(" and ")}` : "",
      rows.dropped || columns.dropped ? dropped : "",
    ].join(" "),
  };
}

/** What is lit, for the page, for the eye and for the ear. */
export interface Explained {
  /** "output (17, 28) = 2.41" */
  title: string;
  /** Where it comes from or goes to. */
  why: string;
  window?: Window | null;
  /** The maximum in the window. */
  maximum?: Cell | null;
  /** Of a cell before: the outputs that it makes. */
  outputs?: readonly Cell[];
  /** For machines: data attributes of the stage. */
  data: Record<string, string | number>;
}

export function explain(shown: Shown, lit: Lit): Explained {
  const { size, how, result, map } = shown;
  const both = sides(size, how);
  const place = lit.y * (lit.of === "after" ? result.width : size[1]) + lit.x;
  const value = (lit.of === "after" ? result.values : map)[place] as number;
  if (lit.of === "before") {
    const readers = readersOf(both, lit);
    const { indices, width } = result;
    const wins = ({ y, x }: Cell) => !indices || indices[y * width + x] === place;
    const outputs = readers.filter(wins);
    const first = outputs[0] ?? readers[0];
    const named = outputs.slice(0, 6).map(at).join(", ") || "dropped";
    const windows = plural(readers.length, "window");
    const won = `the maximum of ${outputs.length} of ${windows}`;
    const why = `${indices ? won : `counts in ${windows}`}: ${named}`;
    return {
      title: `input ${at(lit)} = ${three(value)}`,
      why,
      window: first ? windowAt(both, first) : null,
      outputs,
      data: {
        input: `${lit.y},${lit.x}`,
        outputs: outputs.map(({ y, x }) => `${y},${x}`).join(" "),
      },
    };
  }
  const window = windowAt(both, lit);
  const values = plural(window.count, "value");
  const data: Record<string, string | number> = {
    cell: `${lit.y},${lit.x}`,
    window: window.box.join(),
    result: String(value),
  };
  const found = { title: `output ${at(lit)} = ${three(value)}`, window, data };
  if (result.indices) {
    const index = result.indices[place] as number;
    const maximum = { y: Math.floor(index / size[1]), x: index % size[1] };
    data.maximum = `${maximum.y},${maximum.x}`;
    return { ...found, maximum, why: `the largest of ${values}, at ${at(maximum)}` };
  }
  const by = divisor(both, how, lit.y, lit.x);
  const all = window.rows.length * window.columns.length;
  const scaled = by < all ? `, scaled up from ${by} to ${all}` : "";
  const why =
    how.op === "l2"
      ? `the root of the sum of ${values} squared${scaled}`
      : `the mean of ${values}: ${three(value * by)} / ${by}`;
  return { ...found, why };
}

/** A number in a few characters: "0.83", "-1.2", "1e5"; "" if it does not fit. */
export function fitted(value: number, most: number): string {
  for (const digits of [3, 2, 1]) {
    const plain = Number.isFinite(value) ? `${Number(value.toPrecision(digits))}` : three(value);
    if (plain.length <= most) return plain;
  }
  return "";
}
