// What one view asks the kernel, and what it takes from answers and traits.

import { array, type Packed } from "../lib/codec.ts";
import { atEnd } from "../lib/dom.ts";
import { packBits, unpackBits } from "./bits.ts";
import { type PlaceMap, readLapse, readMap, readPoints } from "./points.ts";
import type { Method, Near, Session } from "./session.ts";

/** Neighbours are asked for once the pointer rests. */
const REST_MS = 120;
const NEAR = 10;
/** So long a sampled map may wait for the whole one, which comes by message. */
const WHOLE_MS = 500;

export type Feed = ReturnType<typeof createFeed>;

export function createFeed(session: Session) {
  const { shell, layers } = session;
  const { channel, signal } = shell;
  const timers: Record<string, ReturnType<typeof setTimeout>> = {};
  let maps: Packed | null = null;
  /** The newest map, while it is of more points than are here. */
  let early: PlaceMap | null = null;
  atEnd(signal, () => {
    for (const timer of Object.values(timers)) clearTimeout(timer);
  });
  return { start, run, chooseLayer, lapse, askMaps, maps: () => maps };

  /** Read the traits and listen; called once all parts listen to the session. */
  function start(): void {
    shell.trait("_points").on(takePoints);
    shell.trait("_map").on(takeMap);
    shell.trait("_selection").on(takeSelection);
    shell.trait("_lapse").on(takeLapse);
    channel.on("points", ({ blob }) => blob && adoptWhole(blob));
    channel.on("embed", ({ blob, status }) => {
      session.running = status === "partial";
      if (blob) adopt(readMap(blob));
      else session.emit("run");
    });
    channel.on("lapse", ({ blob }) => blob && adoptLapse(blob));
    channel.on("near", ({ blob }) => blob && adoptNear(blob.meta as Near));
    channel.on("maps", ({ blob }) => {
      if (!blob) return;
      maps = blob;
      session.emit("maps");
    });
    session.on(["select"], tell);
    session.on(["hover"], settle);
    session.on(["selection"], () => {
      maps = null;
      session.emit("maps");
    });
    takePoints();
    takeMap();
    takeSelection();
    if (!session.points.sample) takeLapse();
  }

  // -- traits and answers -----------------------------------------------------------------------

  function takePoints(): void {
    const points = shell.packed("_points", readPoints);
    if (!points) return;
    shell.error(points.error || null);
    const { points: here } = session;
    // Where all are here already, a sample of them says only that something is new.
    const known = points.sample && !here.sample && here.total === points.total;
    if (!known) session.set(points);
    if (points.sample) channel.ask("points");
  }

  function adoptWhole(blob: Packed): void {
    session.set(readPoints(blob));
    takeSelection();
    if (blob.meta.map) adopt(readMap(blob, blob.meta.map));
    else if (early) adopt(early);
    early = null;
    takeLapse();
  }

  function takeMap(): void {
    const map = shell.packed("_map", readMap);
    if (!map) return;
    if (map.codes.length === 2 * session.points.count) {
      adopt(map);
      return;
    }
    later("whole", WHOLE_MS, () => {
      const { run, complete } = session.meta ?? {};
      const news = run !== map.meta.run || complete !== map.meta.complete;
      if (news && !channel.pending("embed")) channel.ask("points");
    });
  }

  function adopt(map: PlaceMap): void {
    const { meta } = session;
    const { run, iteration, kl, complete } = map.meta;
    if (map.codes.length !== 2 * session.points.count) {
      early = map;
      return;
    }
    const same = meta?.run === run;
    // An answer and the trait bring the same; a trait may come late.
    if (same && !session.lapsing && meta.iteration === iteration && meta.complete && complete) {
      if (meta.quality || !map.meta.quality) return;
    }
    if (!same) session.descent = [];
    if (kl !== null && (session.descent.at(-1)?.[0] ?? -1) < iteration) {
      session.descent.push([iteration, kl]);
    }
    session.meta = map.meta;
    session.lapsing = false;
    // Frames of one run follow one another closely enough.
    session.show(map, !same);
    session.emit("run");
  }

  function takeSelection(): void {
    shell.packed("_selection", ({ meta, arrays }) => {
      // What this view selects meanwhile is newer.
      if (meta.origin === channel.view && channel.pending("select")) return;
      const bits = (arrays.bits?.data ?? new Uint8Array()) as Uint8Array;
      const next = unpackBits(bits, session.points.total);
      if (!next.every((each, i) => each === session.selection[i])) session.chosen(next);
    });
  }

  function takeLapse(): void {
    const blob = shell.packed("_lapse", (blob) => blob);
    if (!blob) return;
    // One that is too large for a saved notebook is asked for.
    if (blob.arrays.xy) adoptLapse(blob);
    else if (!channel.state.offline) channel.ask("lapse", blob.meta.question);
  }

  function adoptLapse(blob: Packed): void {
    const found = readLapse(blob);
    if (found.steps[0]?.codes.length !== 2 * session.points.count) return;
    session.lapse = found;
    session.emit("lapse");
  }

  function adoptNear(near: Near): void {
    if (session.focus < 0 || session.number(session.focus) !== near.index) return;
    session.near = near;
    session.emit("hover");
  }

  // -- questions ----------------------------------------------------------------------------------

  /** Make the map of the present settings; "present": from the one that is shown. */
  function run(start: "auto" | "present" = "auto"): void {
    const layer = layers.current.get() || null;
    const method: Method = session.method.get();
    const [perplexity, iterations] = [session.perplexity.get(), session.iterations.get()];
    channel.ask("embed", { layer, method, perplexity, iterations, start }, { replace: true });
    session.emit("settings");
  }

  function chooseLayer(name: string): void {
    if (name === layers.current.get()) return;
    layers.current.set(name);
    run();
  }

  /** The same images through the layers that the kernel finds worth it. */
  function lapse(): void {
    const shown = session.method.get();
    const method = shown === "given" ? "pca" : shown;
    const [perplexity, iterations] = [session.perplexity.get(), session.iterations.get()];
    channel.ask("lapse", { layers: [], method, perplexity, iterations }, { replace: true });
  }

  function bits() {
    const data = packBits(session.selection);
    return { bits: { dtype: "uint8" as const, shape: [data.length], data } };
  }

  function tell(): void {
    // Without a kernel the selection is only seen.
    if (channel.state.offline || channel.saved) return;
    channel.ask("select", {}, { arrays: bits() });
  }

  function askMaps(): void {
    channel.ask("maps", {}, { arrays: bits(), replace: true });
  }

  function settle(): void {
    const { focus, near } = session;
    clearTimeout(timers.near);
    if (focus < 0 || near || channel.saved || channel.state.offline) return;
    const index = session.number(focus);
    later("near", REST_MS, () => channel.ask("near", { index, k: NEAR }));
  }

  function later(name: string, ms: number, fn: () => void): void {
    clearTimeout(timers[name]);
    timers[name] = setTimeout(fn, ms);
  }
}

/** The maps of lane "maps", each with its channel. */
export function readMeans(blob: Packed) {
  const { data, shape } = array(blob, "codes", "uint8");
  const [, height = 1, width = 1] = shape;
  const lo = array(blob, "lo", "float32").data;
  const hi = array(blob, "hi", "float32").data;
  return (blob.meta.channels as number[]).map((channel, i) => ({
    channel,
    width,
    height,
    codes: data.subarray(i * height * width, (i + 1) * height * width) as Uint8Array,
    lo: lo[i] as number,
    hi: hi[i] as number,
  }));
}
