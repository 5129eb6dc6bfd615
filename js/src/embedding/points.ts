// The points and their places as they cross the wire.

import { array, type NdArray, type Packed } from "../lib/codec.ts";

/** What points can be coloured by. */
export interface Column {
  key: string;
  title: string;
  kind: "category" | "number";
  /** Of a category: its values; a code of `codes` is a place in this list. */
  values: string[];
  lo: number;
  hi: number;
  codes: Uint16Array | null;
  numbers: Float32Array | null;
}

/** The code of a point that has no value. */
export const NONE = 65535;

/** The trait `_points`, or the answer of lane "points". */
export interface Points {
  /** How many there are, and how many of them are here. */
  total: number;
  count: number;
  sample: boolean;
  /** Of a sample: the numbers of its points. */
  index: Int32Array | null;
  names: string[] | null;
  columns: Column[];
  /** Key of the column to colour by at first. */
  first: string;
  unread: number;
  choices: "network" | "given" | "none";
  /** Coordinates were given: there is a way back to them. */
  given: boolean;
  /** Why the images could not be read; "" when they could. */
  error: string;
}

export const NO_POINTS: Points = {
  total: 0,
  count: 0,
  sample: false,
  index: null,
  names: null,
  columns: [],
  first: "",
  unread: 0,
  choices: "none",
  given: false,
  error: "",
};

export function readPoints(blob: Packed): Points {
  const { meta, arrays } = blob;
  const columns = (meta.columns ?? []).map((row: Column, i: number): Column => {
    const found = arrays[`c_${i}`] as NdArray;
    const category = row.kind === "category";
    return {
      ...row,
      values: (row.values ?? []).map(String),
      lo: Number(row.lo ?? 0),
      hi: Number(row.hi ?? 0),
      codes: category ? (found.data as Uint16Array) : null,
      numbers: category ? null : (found.data as Float32Array),
    };
  });
  const index = meta.sample ? array(blob, "index", "int32").data : null;
  return {
    total: meta.total,
    count: index ? index.length : meta.total,
    sample: index !== null,
    index,
    names: meta.names ?? null,
    columns,
    first: String(meta.default ?? ""),
    unread: meta.unread ?? 0,
    choices: meta.layer_choices ?? "none",
    given: meta.given === true,
    error: meta.error ?? "",
  };
}

/** A point's number among all. */
export function numberOf({ index }: Points, i: number): number {
  return index ? (index[i] as number) : i;
}

/** What a column says of a point; "" when nothing. */
export function valueAt({ codes, numbers, values }: Column, i: number): string | number {
  if (codes) return values[codes[i] as number] ?? "";
  const number = numbers?.[i] as number;
  return Number.isNaN(number) ? "" : number;
}

/** How well neighbourhoods came over; null: not to be had. */
export interface Quality {
  trustworthiness: number | null;
  purity: number | null;
  features_purity: number | null;
  chance: number | null;
  neighbors: number;
}

export interface MapMeta {
  run: number;
  layer: string | null;
  method: string;
  iteration: number;
  total: number;
  kl: number | null;
  complete: boolean;
  explained: number[] | null;
  quality: Quality | null;
  notes: string[];
  sample: boolean;
  seconds: number;
}

/** Where the points are: codes of 0..65534 in a square of data. */
export interface Places {
  codes: Uint16Array;
  /** The square: x0, x1, y0, y1. */
  range: ArrayLike<number>;
  /** The same between -1 and 1, NaN for a point without a place. */
  xy: Float32Array;
}

export interface PlaceMap extends Places {
  meta: MapMeta;
}

const LAST = 65534;

export function toPlaces(codes: Uint16Array, range: ArrayLike<number>): Places {
  const xy = new Float32Array(codes.length);
  for (let k = 0; k < codes.length; k++) {
    const code = codes[k] as number;
    xy[k] = code === NONE ? Number.NaN : (2 * code) / LAST - 1;
  }
  return { codes, range, xy };
}

/** Of lane "embed", or of lane "points", which tells of the map too. */
export function readMap(blob: Packed, about: Packed["meta"] = blob.meta): PlaceMap {
  const codes = array(blob, "xy", "uint16").data;
  return { meta: about as MapMeta, ...toPlaces(codes, array(blob, "range", "float32").data) };
}

/** A place of the map in the data's own measure. */
export function toData({ range }: Places, x: number, y: number): [number, number] {
  const [x0, x1, y0, y1] = range as unknown as [number, number, number, number];
  return [x0 + ((x + 1) / 2) * (x1 - x0), y0 + ((y + 1) / 2) * (y1 - y0)];
}

/** A point's coordinates in the data's own measure; NaN without a place. */
export function coordinates({ codes, range }: Places, i: number, at: Float64Array): void {
  const [x0, x1, y0, y1] = range as unknown as [number, number, number, number];
  const [x, y] = [codes[2 * i] as number, codes[2 * i + 1] as number];
  const lost = x === NONE || y === NONE;
  at[0] = lost ? Number.NaN : x0 + (x * (x1 - x0)) / LAST;
  at[1] = lost ? Number.NaN : y0 + (y * (y1 - y0)) / LAST;
}

/** The same images through several layers: the answer of lane "lapse". */
export interface Lapse {
  layers: string[];
  method: string;
  complete: boolean;
  steps: Places[];
}

export function readLapse(blob: Packed): Lapse {
  const { shape, data } = array(blob, "xy", "uint16");
  const range = array(blob, "range", "float32").data;
  const [count = 0, n = 0] = shape;
  const steps = Array.from({ length: count }, (_, k) =>
    toPlaces(data.subarray(2 * n * k, 2 * n * (k + 1)), range),
  );
  return {
    layers: (blob.meta.layers ?? []).slice(0, count).map(String),
    method: String(blob.meta.method ?? ""),
    complete: blob.meta.complete === true,
    steps,
  };
}
