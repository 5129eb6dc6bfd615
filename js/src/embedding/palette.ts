// The colours of points. Ten that the colour-blind tell apart; further classes take them again and
// are told apart by the names on the map. nbcnnviz/widgets draws stills with the same ones.

import { unpackTable } from "../lib/colormap.ts";
import { viridis } from "../lib/tables.ts";
import { type Column, NONE } from "./points.ts";

export type Rgb = readonly [red: number, green: number, blue: number];

/** Okabe and Ito's without black, then three as far from them as can be, also under simulated
 * protanopia and deuteranopia. */
export const TEN = [
  0x0072b2, 0xe69f00, 0x009e73, 0xd55e00, 0xcc79a7, 0x56b4e9, 0xecdd35, 0x666666, 0x8a3018,
  0xdeaeae,
].map(toRgb);
/** Of points without a value. */
export const NOTHING = toRgb(0xb4bac2);
/** Not green and red. */
const VERDICTS: Record<string, Rgb> = { right: toRgb(0x0072b2), wrong: toRgb(0xd55e00) };
/** So many colours has a column of numbers. */
const STEPS = 256;

function toRgb(hex: number): Rgb {
  return [hex >> 16, (hex >> 8) & 255, hex & 255];
}

export interface Colouring {
  /** Of every point its place in `colours`. */
  codes: Uint16Array;
  /** The last is that of points without a value. */
  colours: Rgb[];
}

/** The colours of a column; without one all points have the first. */
export function colouring(column: Column | null, count: number): Colouring {
  if (!column) return { codes: new Uint16Array(count), colours: [TEN[0] as Rgb, NOTHING] };
  const colours = column.codes ? classColours(column) : scale();
  const last = colours.length;
  const codes = column.codes
    ? column.codes.map((code) => (code === NONE ? last : code))
    : steps(column, last);
  return { codes, colours: [...colours, NOTHING] };
}

/** One colour for each value of a category. */
export function classColours({ key, values }: Column): Rgb[] {
  return values.map((value, code) => {
    const verdict = key === "correct" ? VERDICTS[value] : undefined;
    return verdict ?? (TEN[code % TEN.length] as Rgb);
  });
}

function steps({ numbers, lo, hi }: Column, none: number): Uint16Array {
  const width = hi > lo ? hi - lo : 1;
  return Uint16Array.from(numbers ?? [], (value) => {
    if (Number.isNaN(value)) return none;
    return Math.min(STEPS - 1, Math.max(0, Math.floor(((value - lo) / width) * STEPS)));
  });
}

function scale(): Rgb[] {
  return Array.from(scaleTable(), (rgba) => [rgba & 255, (rgba >> 8) & 255, (rgba >> 16) & 255]);
}

export function scaleTable(): Uint32Array {
  return unpackTable(viridis);
}

export function css([red, green, blue]: Rgb): string {
  return `rgb(${red}, ${green}, ${blue})`;
}
