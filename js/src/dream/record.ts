// What crosses the wire of a run: how far it is, its picture, its film, what it began with.

import { array, type Packed, unpack } from "../lib/codec.ts";

export type RunState = "fresh" | "running" | "paused" | "done";

/** How far a run is. */
export interface Run {
  state: RunState;
  /** Counts restarts. */
  run: number;
  step: number;
  /** Of how many, over all octaves. */
  steps: number;
  /** What the picture is of; empty before the first step. */
  title: string;
  octave: number;
  octaves: number;
  losses: Record<string, number | null>;
  /** Why it ended before its time. */
  stopped: string;
  notes: string[];
  /** Of the picture as it is now. */
  height: number;
  width: number;
}

/** A picture of the run, as JPEG. */
export interface Frame {
  step: number;
  octave: number;
  jpeg: Uint8Array;
}

/** A step and what it had for an objective, or for a loss. */
export type Point = readonly [step: number, value: number];

export interface Film {
  run: Run;
  trace: Point[];
  frames: Frame[];
}

/** What a run begins with. */
export interface Start {
  name: string;
  height: number;
  width: number;
  jpeg: Uint8Array | null;
  styles: Array<{ name: string; jpeg: Uint8Array | null }>;
  guide: { name: string; jpeg: Uint8Array | null } | null;
  /** Names of the network's classes. */
  classes: string[];
  /** Answers for a page without a kernel. */
  kept: Array<{ lane: string; blob: Packed }>;
}

export const NOTHING: Run = {
  state: "fresh",
  run: 0,
  step: 0,
  steps: 0,
  title: "",
  octave: 1,
  octaves: 1,
  losses: {},
  stopped: "",
  notes: [],
  height: 0,
  width: 0,
};

const STATES: readonly unknown[] = ["fresh", "running", "paused", "done"];

export function readRun({ meta }: Packed): Run {
  const run = { ...NOTHING };
  for (const name of Object.keys(run) as Array<keyof Run>) {
    const value = meta[name];
    if (typeof value === typeof run[name] && value !== null) Object.assign(run, { [name]: value });
  }
  if (!STATES.includes(run.state)) run.state = "paused";
  return run;
}

/** The points that can be drawn. */
export function readTrace({ meta }: Packed): Point[] {
  const points: unknown[] = Array.isArray(meta.trace) ? meta.trace : [];
  const sound = (point: unknown): point is Point =>
    Array.isArray(point) && point.length === 2 && point.every(Number.isFinite);
  return points.filter(sound);
}

/** Bytes of an array; null where there is none. */
export function bytesOf(blob: Packed, name: string): Uint8Array | null {
  return blob.arrays[name] ? array(blob, name, "uint8").data : null;
}

/** A partial or last reply of lane "run": its picture, if it brought one. */
export function readFrame(blob: Packed): Frame | null {
  const { step, octave } = readRun(blob);
  const jpeg = bytesOf(blob, "jpeg");
  return jpeg?.length ? { step, octave, jpeg } : null;
}

/** Trait `_film`. The last of its frames is the present picture. */
export function readFilm(blob: Packed): Film {
  const run = readRun(blob);
  const rows: Array<{ step: number; octave: number; bytes: number }> = blob.meta.frames ?? [];
  const all = bytesOf(blob, "jpegs") ?? new Uint8Array();
  let from = 0;
  const frames = rows.map(({ step, octave, bytes }): Frame => {
    const jpeg = all.subarray(from, from + bytes);
    from += bytes;
    return { step, octave, jpeg };
  });
  if (from > all.length) throw new Error(`its film ends early (${all.length} of ${from} bytes)`);
  const last = bytesOf(blob, "last");
  if (last?.length) {
    if (frames.at(-1)?.step === run.step) frames.pop();
    frames.push({ step: run.step, octave: run.octave, jpeg: last });
  }
  return { run, trace: readTrace(blob), frames };
}

/** Trait `_start`. */
export function readStart(blob: Packed): Start {
  const { meta } = blob;
  const styles = ((meta.styles ?? []) as string[]).map((name, i) => ({
    name,
    jpeg: bytesOf(blob, `style_${i}`),
  }));
  return {
    name: String(meta.name ?? ""),
    height: Number(meta.height) || 1,
    width: Number(meta.width) || 1,
    jpeg: bytesOf(blob, "jpeg"),
    styles,
    guide: meta.guide ? { name: String(meta.guide), jpeg: bytesOf(blob, "guide") } : null,
    classes: meta.classes ?? [],
    kept: readKept(blob),
  };
}

function readKept(blob: Packed): Start["kept"] {
  const rows: Array<{ lane: string; bytes: number }> = blob.meta.kept ?? [];
  const all = bytesOf(blob, "kept") ?? new Uint8Array();
  let from = 0;
  return rows.map(({ lane, bytes }) => {
    // Copied, for its arrays begin at whole numbers of their own.
    const own = all.slice(from, from + bytes);
    from += bytes;
    return { lane, blob: unpack(own) };
  });
}

/** Several JPEGs one after the other, told apart by where they begin. */
export function cut(blob: Packed): Uint8Array[] {
  const all = bytesOf(blob, "jpegs") ?? new Uint8Array();
  const ends = blob.arrays.offsets ? [...array(blob, "offsets", "int32").data] : [];
  return ends.slice(1).map((end, i) => all.subarray(ends[i], end));
}
