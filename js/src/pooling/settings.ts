// What a pooling does: its parameters, whether they fit a map, how many values come out. The twin of
// nbcnnviz/backend/_pool_settings.py, in the same words.

import { plural } from "../lib/format.ts";

/** (rows, columns) */
export type Pair = readonly [number, number];

export const OPS = ["max", "avg", "l2", "global_avg", "global_max"] as const;
export type Op = (typeof OPS)[number];

export interface How {
  op: Op;
  window: Pair;
  stride: Pair;
  padding: Pair;
  dilation: Pair;
  ceil_mode: boolean;
  /** For avg: the zeros of the padding count as values. */
  count_include_pad: boolean;
  /** For avg: what sums are divided by; null: by how many values there are. */
  divisor_override: number | null;
}

/** The settings that are pairs. */
export const FIELDS = ["window", "stride", "padding", "dilation"] as const;
export type Field = (typeof FIELDS)[number];

/** How many windows fit along one side of a map, spelled out. */
export interface Arithmetic {
  size: number;
  formula: string;
  /** `ceil_mode` would add a window that begins in the padding, and PyTorch leaves it out. */
  dropped: boolean;
  /** How many of the map's rows (columns) lie in no window. */
  unread: number;
}

/** Why maps cannot be pooled so, and the setting that is to blame. */
export interface Problem {
  field: Field | "divisor_override";
  text: string;
}

/** 3 rather than (3, 3). */
export function shown([a, b]: Pair): string {
  return a === b ? `${a}` : `(${a}, ${b})`;
}

/** Whether the whole map is the one window. */
export function isGlobal({ op }: { op: string }): boolean {
  return op.startsWith("global");
}

/** How many values come out of maps of this size, down and across. */
export function arithmetic(size: Pair, how: How): [Arithmetic, Arithmetic] {
  const along = (i: 0 | 1): Arithmetic => {
    const n = size[i];
    if (isGlobal(how)) {
      return { size: 1, formula: `the whole of ${n} = 1`, dropped: false, unread: 0 };
    }
    const [k, s, p, d] = FIELDS.map((field) => how[field][i]) as [number, number, number, number];
    const [size_, dropped] = fit(n, k, s, p, d, how.ceil_mode);
    const reach = d === 1 ? k : `(${d}*(${k} - 1) + 1)`;
    const rounding = how.ceil_mode ? "ceil" : "floor";
    const room = `(${n} + 2*${p} - ${reach})/${s}`;
    const formula = `${rounding}(${room}) + 1${dropped ? " - 1" : ""} = ${size_}`;
    const read = new Set<number>();
    for (let o = 0; o < size_; o++) {
      for (let j = 0, at = o * s - p; j < k && at < n; j++, at += d) if (at >= 0) read.add(at);
    }
    return { size: size_, formula, dropped, unread: n - read.size };
  };
  return [along(0), along(1)];
}

/** Why this cannot pool maps of this size, with what to give instead; null if it can. Maps without
 * cells and settings beyond 32 bits, of which Python complains too, do not get here. */
export function problem(size: Pair, how: How): Problem | null {
  const bad = (field: Field, words: string): Problem => ({
    field,
    text: `${field}=${shown(how[field])}: ${words}`,
  });
  if (isGlobal(how)) return null;
  for (const field of FIELDS) {
    const least = field === "padding" ? 0 : 1;
    if (Math.min(...how[field]) < least) return bad(field, `give at least ${least}`);
  }
  if (how.divisor_override === 0) {
    const text = "divisor_override=0: sums cannot be divided by it; give None or another number";
    return { field: "divisor_override", text };
  }
  for (const i of [0, 1] as const) {
    const n = size[i];
    const [k, s, p, d] = FIELDS.map((field) => how[field][i]) as [number, number, number, number];
    if (p > k >> 1) {
      const most = shown([how.window[0] >> 1, how.window[1] >> 1]);
      return bad("padding", `more than half of window=${shown(how.window)}; give at most ${most}`);
    }
    const lines = plural(n, i === 0 ? "row" : "column");
    const [fitting] = fit(n, k, s, p, d, how.ceil_mode);
    if (fitting < 1) {
      const reach = d > 1 ? ` with dilation=${shown(how.dilation)} spans ${d * (k - 1) + 1}` : "";
      const most = Math.floor((n + 2 * p - 1) / d) + 1;
      const text =
        `window=${shown(how.window)}${reach}: larger than the maps, ${lines} with ` +
        `${2 * p} of padding; give a window of at most ${most}`;
      return { field: "window", text };
    }
    for (let o = 0; o < Math.min(fitting, Math.ceil(p / s)); o++) {
      // The first cell of the window that does not lie before the map.
      const first = o * s - p + d * Math.ceil((p - o * s) / d);
      if (first < n && first <= o * s - p + d * (k - 1)) continue;
      // PyTorch returns -infinity there, and the index of some other cell or of none.
      const words =
        `with padding=${shown(how.padding)} a window reads only padding, as the maps have ` +
        `${lines}; give padding=0 or less dilation`;
      return bad("dilation", words);
    }
  }
  return null;
}

/** How many windows PyTorch counts, and whether it leaves one out that begins in the padding. */
function fit(n: number, k: number, s: number, p: number, d: number, ceil: boolean) {
  const room = (n + 2 * p - (d * (k - 1) + 1)) / s;
  const size = (ceil ? Math.ceil(room) : Math.floor(room)) + 1;
  const dropped = ceil && (size - 1) * s >= n + p;
  return [dropped ? size - 1 : size, dropped] as const;
}

/** The six settings that cross the wire: arguments of questions. */
export function argsOf({ count_include_pad, divisor_override, ...six }: How) {
  return six;
}

/** Whether two ways to pool are the same one. */
export function sameHow(a: How, b: How): boolean {
  const key = (how: How) =>
    `${isGlobal(how) ? how.op : [how.op, ...FIELDS.map((field) => how[field]), how.ceil_mode]}`;
  return key(a) === key(b);
}

/** A pooling in few words: "max 3 x 3 / 2", "global avg", "adaptive avg to 6 x 6". */
export function describe(
  how: Record<"window" | "stride", Pair | null> & {
    op: string;
    output?: Pair | null;
  },
): string {
  const { window, output } = how;
  const name = how.op.replace("_", " ");
  const by = (pair: Pair) => pair.join(" x ");
  if (output) return `${name} to ${by(output)}`;
  if (isGlobal(how) || !window) return name;
  const stride = how.stride ?? window;
  return `${name} ${by(window)} / ${stride[0] === stride[1] ? stride[0] : by(stride)}`;
}
