// A sweep as pixels of the picture's size, to be laid over it. What the threshold leaves out is
// transparent.

import { codeLut, entry, unpackTable } from "../lib/colormap.ts";
import { inferno, RdBu_r } from "../lib/tables.ts";
import { classPixel } from "./palette.ts";
import { cutoff, nearestPositions, type Show, type Sweep } from "./sweep.ts";

const DROP = unpackTable(RdBu_r);
const SCORE = unpackTable(inferno);

export interface Look {
  colours: Uint32Array;
  /** Values of the first and the last colour. */
  range: readonly [number, number];
}

/** Colours of the drop (red: hiding this lowers the score) or of the score (dark: low). */
export function lookOf(sweep: Sweep, show: Show): Look {
  if (show === "drop") {
    const { lo, hi } = sweep.drop;
    const m = Math.max(Math.abs(lo), Math.abs(hi));
    return { colours: DROP, range: [-m, m] };
  }
  const finite = sweep.scores.filter(Number.isFinite);
  const ends = [...finite, ...(finite.length > 0 ? [] : [0])];
  return { colours: SCORE, range: [Math.min(...ends), Math.max(...ends)] };
}

/** Paint into packed RGBA pixels. `order`: the classes in the order of their colours; `share`: how
 * many of the pixels, or positions, with the largest drops remain. */
export function paintSweep(
  out: Uint32Array,
  sweep: Sweep,
  show: Show,
  order: readonly number[],
  share: number,
): void {
  if (show === "drop") paintDrop(out, sweep, share);
  else paintPositions(out, sweep, positionColours(sweep, show, order, share));
}

function paintDrop(out: Uint32Array, sweep: Sweep, share: number): void {
  const { codes, lo, hi } = sweep.drop;
  const { colours, range } = lookOf(sweep, "drop");
  const lut = codeLut(lo, hi, ...range, colours);
  const values = Float32Array.from(codes, (code) => (code === 255 ? Number.NaN : code));
  const least = cutoff(values, share);
  for (let i = 0; i < out.length; i++) {
    const code = codes[i] as number;
    out[i] = code !== 255 && code >= least ? (lut[code] as number) : 0;
  }
}

/** A packed colour for each position; 0 where nothing is shown. */
function positionColours(
  sweep: Sweep,
  show: Show,
  order: readonly number[],
  share: number,
): Uint32Array {
  const { scores, predicted } = sweep;
  // The largest drops are the lowest scores.
  const least = cutoff(
    scores.map((score) => -score),
    share,
  );
  const { colours, range } = lookOf(sweep, "score");
  return Uint32Array.from(scores, (score, i) => {
    if (!(-score >= least)) return 0;
    if (show === "score") return colours[entry(score, ...range)] as number;
    return classPixel(order.indexOf(predicted[i] as number));
  });
}

/** Each pixel takes the colour of the position whose middle is nearest. */
function paintPositions(out: Uint32Array, sweep: Sweep, colours: Uint32Array): void {
  const [height, width] = sweep.size;
  const [ny, nx] = sweep.grid;
  const rows = nearestPositions(height, sweep.window[0], sweep.stride[0], ny);
  const columns = nearestPositions(width, sweep.window[1], sweep.stride[1], nx);
  for (let y = 0; y < height; y++) {
    const row = (rows[y] as number) * nx;
    for (let x = 0; x < width; x++) {
      out[y * width + x] = colours[row + (columns[x] as number)] as number;
    }
  }
}
