// What the kernel said about one layer: its maps before pooling, as bytes and some of them exact.

import { array, type Packed } from "../lib/codec.ts";
import { decode } from "../lib/colormap.ts";
import type { How, Pair } from "./settings.ts";

/** Most maps of a kind that stay in the browser. */
const KEPT = 512;

/** How a real pooling call pools, in the kernel's words. */
export type Own = Omit<How, "op" | "window" | "stride"> & {
  op: string;
  window: Pair | null;
  stride: Pair | null;
  output: Pair | null;
};

/** Some channels' maps, all of one size. */
export interface Tiles {
  /** Rows and columns of each. */
  cells: Pair;
  maps: Map<number, Float32Array>;
}

export const floats = (blob: Packed, name: string): Float32Array =>
  array(blob, name, "float32").data;

/** Keep something; what was kept first goes when there are too many. */
function keep(all: Map<number, Float32Array>, channel: number, map: Float32Array): void {
  all.delete(channel);
  all.set(channel, map);
  if (all.size > KEPT) all.delete(all.keys().next().value ?? 0);
}

/** Take the maps of a blob in. */
export function addTiles(tiles: Tiles, blob: Packed, prefix = ""): Tiles {
  const codes = array(blob, `${prefix}codes`, "uint8");
  const [lo, hi] = [floats(blob, `${prefix}lo`), floats(blob, `${prefix}hi`)];
  const [, height = 1, width = 1] = codes.shape;
  tiles.cells = [height, width];
  array(blob, `${prefix}channels`, "int32").data.forEach((channel, i) => {
    const own = codes.data.subarray(i * height * width, (i + 1) * height * width);
    const [low, high] = [lo[i] as number, hi[i] as number];
    keep(
      tiles.maps,
      channel,
      Float32Array.from(own, (code) => decode(code, low, high)),
    );
  });
  return tiles;
}

export const noTiles = (): Tiles => ({ cells: [1, 1], maps: new Map() });

export type LayerMaps = ReturnType<typeof readLayer>;

/** Read an answer of lane "layer". */
export function readLayer(blob: Packed) {
  const exact = new Map<number, Float32Array>();
  const minima = floats(blob, "minima");
  return {
    layer: blob.meta.layer as string,
    /** How the network pools here; null where it does not. */
    own: blob.meta.own as Own | null,
    shape: blob.meta.shape as [number, number, number],
    before: addTiles(noTiles(), blob),
    means: floats(blob, "means"),
    maxima: floats(blob, "maxima"),
    minima,
    signed: minima.some((value) => value < 0),
    /** Maps as they are, by channel. */
    exact,
    addExact: (channel: number, map: Packed): void => keep(exact, channel, floats(map, "map")),
  };
}
