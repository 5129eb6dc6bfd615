// What one view of the widget knows and wants: settings, the maps at hand, what is lit, questions
// under way. The parts read it and listen; pooling itself is done here, in the browser.

import type { Packed } from "../lib/codec.ts";
import { entry, unpackTable } from "../lib/colormap.ts";
import { type LayerRow, layerChoice } from "../lib/layers/layer.ts";
import type { Args } from "../lib/messages.ts";
import { clamp } from "../lib/small.ts";
import { RdBu_r, viridis } from "../lib/tables.ts";
import { createTopics } from "../lib/topics.ts";
import type { Shell } from "../lib/view.ts";
import { addTiles, type LayerMaps, noTiles, type Own, readLayer, type Tiles } from "./maps.ts";
import { type Pooled, pool } from "./pool.ts";
import type { How, Op, Pair } from "./settings.ts";
import * as settings from "./settings.ts";
import type { Cell } from "./windows.ts";

/** shown: other maps, another channel or other settings; cell: what is lit; tiles: further maps
 * before or after; view: another one of the three; walk: it began or stopped. */
export type Topic = "shown" | "cell" | "tiles" | "view" | "walk";

export const VIEWS = ["one channel", "all maps", "vector"] as const;
export type View = (typeof VIEWS)[number];

/** What is lit: a value of the result with its window, or a cell of the map with its windows. */
export type Lit = Cell & { of: "after" | "before" };

/** One channel with the newest settings that can be, and what comes of them. */
export interface Shown {
  layer: string;
  channel: number;
  map: Float32Array;
  size: Pair;
  how: How;
  result: Pooled;
  /** Before and after pooling alike. */
  look: Look;
}

const SIGNED = unpackTable(RdBu_r);
const UNSIGNED = unpackTable(viridis);

/** How values become colours, and the values of the first and the last. */
export interface Look {
  colours: Uint32Array;
  range: readonly [number, number];
  colour(value: number): number;
}

export type Session = ReturnType<typeof createSession>;

export function createSession(shell: Shell) {
  const { channel: kernel } = shell;
  const { on, emit } = createTopics<Topic>();
  const choice = layerChoice(shell);
  const names = ["op", "ceil_mode", ...settings.FIELDS];
  const traits = Object.fromEntries(names.map((name) => [name, shell.trait<unknown>(name)]));
  const asked: Record<string, string> = {};
  let after: { layer: string; how: How; tiles: Tiles } | null = null;
  let shown: Shown | null = null;

  const self = {
    shell,
    layer: choice.current,
    channel: shell.trait<number>("channel"),
    rows: () => choice.layers().map(asRow),
    choice,
    onLayers: choice.onLayers,
    view: "one channel" as View,
    maps: null as LayerMaps | null,
    lit: null as Lit | null,
    /** What stays lit when the pointer is elsewhere. */
    pinned: null as Lit | null,
    /** Only the values up to the pinned one are shown: the window is on its way. */
    filling: false,
    /** A dot on each cell that is the maximum of a window. */
    switches: false,
    /** How many channels the view of all maps shows at a time. */
    page: 1,
    start,
    on,
    emit,
    change,
    set,
    light,
    pin,
    needTiles,
    /** Whether the maps at hand are those of another layer. */
    get stale(): boolean {
      return self.maps?.layer !== self.layer.get();
    },
    get how(): How {
      const { count_include_pad = true, divisor_override = null } = self.maps?.own ?? {};
      const made: Record<string, unknown> = { count_include_pad, divisor_override };
      for (const name in traits) {
        const value = traits[name]?.get();
        made[name] = typeof value === "number" ? [value, value] : value;
      }
      return made as unknown as How;
    },
    /** How the network pools here, as settings; null where it does not, or not in windows. */
    get own(): How | null {
      return ownOf(self.maps);
    },
    /** Rows and columns of the maps before pooling. */
    get size(): Pair {
      const [, height = 1, width = 1] = self.maps?.shape ?? [];
      return [height, width];
    },
    /** Why the settings cannot be shown. */
    get problem() {
      return self.maps && settings.problem(self.size, self.how);
    },
    get shown(): Shown | null {
      return pooled();
    },
    /** Whether what is shown is not what is wanted. */
    get retired(): boolean {
      const it = pooled();
      const same = it?.layer === self.layer.get() && it.channel === self.channel.get();
      return !same || self.problem !== null;
    },
    /** The pooled maps that came last, perhaps of other settings. */
    get after() {
      return after?.layer === self.layer.get() ? after : null;
    },
    args: (): Args => ({ layer: self.layer.get(), ...settings.argsOf(self.how) }),
  };
  return self;

  /** Read the traits and listen; called once all parts listen to the session. */
  function start(): void {
    self.layer.on(want);
    self.channel.on(needExact);
    for (const trait of Object.values(traits)) {
      trait.on(() => {
        if (self.pinned) pin(self.pinned, self.filling);
        emit("shown");
      });
    }
    shell.trait("_pool").on(() => shell.packed("_pool", adopt));
    kernel.on("layer", ({ blob }) => blob && adopt(blob));
    for (const lane of ["channel", "more"]) {
      kernel.on(lane, ({ blob }) => {
        const { maps } = self;
        if (!blob || !maps || blob.meta.layer !== maps.layer) return;
        if (blob.arrays.map) maps.addExact(blob.meta.channel, blob);
        else addTiles(maps.before, blob);
        emit("tiles");
      });
    }
    kernel.on("stack", ({ blob }) => blob && adoptStack(blob, blob.meta));
    want();
  }

  /** Change settings. */
  function change(what: Partial<How>): void {
    for (const [name, value] of Object.entries(what)) {
      const square = Array.isArray(value) && value[0] === value[1];
      traits[name]?.set(square ? value[0] : value);
    }
  }

  /** Change what is this view's alone. */
  function set(what: Partial<Pick<typeof self, "view" | "switches">>): void {
    Object.assign(self, what);
    emit("view");
  }

  /** The chosen channel, pooled; the last picture stays where there is no other one. */
  function pooled(): Shown | null {
    const { maps, size, how } = self;
    const channel = self.channel.get();
    const map = maps?.exact.get(channel);
    if (!maps || !map || self.problem) return shown;
    if (shown?.map !== map || !settings.sameHow(shown.how, how)) {
      const result = pool(map, ...size, how);
      const look = lookOf([map, result.values], maps.signed);
      shown = { layer: maps.layer, channel, map, size, how, result, look };
    }
    return shown;
  }

  /** Say what is lit; null puts the light out. */
  function light(lit: Lit | null): void {
    if (JSON.stringify(lit) === JSON.stringify(self.lit)) return;
    self.lit = lit;
    emit("cell");
  }

  /** What is lit when nothing is pointed at; it stays on the map whatever comes. */
  function pin(cell: Cell | null, filling = false): void {
    const { height, width } = pooled()?.result ?? { height: 1, width: 1 };
    self.pinned = cell && {
      of: "after",
      y: clamp(cell.y, 0, height - 1),
      x: clamp(cell.x, 0, width - 1),
    };
    self.filling = filling && cell !== null;
    self.lit = self.pinned;
    emit("cell");
  }

  /** The layer changed: use what is at hand, or ask. */
  function want(): void {
    pin(null);
    if (self.stale) shell.packed("_pool", adopt);
    if (self.stale) ask("layer", { layer: self.layer.get() });
    else needExact();
    emit("shown");
  }

  /** `_pool` or an answer of lane "layer". */
  function adopt(blob: Packed): void {
    if (blob.meta.layer !== self.layer.get()) return;
    const { maps } = self;
    const fresh = readLayer(blob);
    // With the same weights what is here stays: it may be more than what came.
    if (maps?.layer !== fresh.layer || `${maps.means}` !== `${fresh.means}`) {
      self.maps = fresh;
      after = null;
      delete asked.channel;
    }
    const { channel, stack } = blob.meta;
    if (blob.arrays.map) self.maps?.addExact(channel, blob);
    if (stack) adoptStack(blob, stack, "after_");
    needExact();
    emit("tiles");
  }

  function adoptStack(blob: Packed, meta: Packed["meta"], prefix = ""): void {
    const { layer, how } = meta as { layer: string; how: How };
    if (layer !== self.layer.get() || !settings.sameHow(how, self.how)) return;
    const same = self.after && settings.sameHow(self.after.how, how);
    const tiles = (same && after?.tiles) || noTiles();
    after = { layer, how, tiles: addTiles(tiles, blob, prefix) };
    emit("tiles");
  }

  /** Ask, unless it is the question that was asked last. */
  function ask(lane: string, args: Args): void {
    const key = JSON.stringify(args);
    if (asked[lane] === key) return;
    asked[lane] = key;
    kernel.ask(lane, args, { replace: true });
  }

  /** See to it that the exact map of the chosen channel comes. */
  function needExact(): void {
    const { maps } = self;
    const channel = self.channel.get();
    const there = !maps || self.stale || maps.exact.has(channel) || channel >= maps.shape[0];
    if (!there) ask("channel", { layer: maps.layer, channel });
    emit("shown");
  }

  /** See to it that these channels come, before and after pooling. */
  function needTiles(channels: readonly number[]): void {
    const { maps } = self;
    if (!maps || self.stale) return;
    const missing = (tiles: Tiles | undefined) => channels.filter((c) => !tiles?.maps.has(c));
    const before = missing(maps.before);
    if (before.length) ask("more", { layer: maps.layer, channels: before });
    const same = self.after && settings.sameHow(self.after.how, self.how);
    const wanted = self.problem ? [] : missing(same ? self.after?.tiles : undefined);
    if (wanted.length) ask("stack", { ...self.args(), channels: wanted });
  }
}

/** Smallest and largest of all finite values. */
export function extent(all: readonly Float32Array[], lo: number, hi: number): [number, number] {
  for (const values of all) {
    for (const value of values) {
      if (value < lo && value > -1e39) lo = value;
      if (value > hi && value < 1e39) hi = value;
    }
  }
  return [lo, hi];
}

/** One range of colours for all values; around zero where there are negative ones. */
export function lookOf(all: readonly Float32Array[], signed: boolean): Look {
  const [low, high] = extent(all, signed ? 0 : 1e39, signed ? 0 : -1e39);
  const hi = signed ? Math.max(high, -low) : high;
  const lo = signed ? -hi : low;
  const colours = signed ? SIGNED : UNSIGNED;
  return { colours, range: [lo, hi], colour: (v) => colours[entry(v, lo, hi)] as number };
}

/** The network's own pooling as settings; null where there is none of this kind. */
export function ownOf(maps: LayerMaps | null): How | null {
  const own = maps?.own;
  if (!own) return null;
  const size: Pair = [maps.shape[1], maps.shape[2]];
  const { window, output } = own;
  if (settings.isGlobal(own) || String(output) === "1,1") {
    const op = own.op.endsWith("max") ? "global_max" : "global_avg";
    return { ...own, op, window: size, stride: size };
  }
  const known = (settings.OPS as readonly string[]).includes(own.op);
  return known && window
    ? { ...own, op: own.op as Op, window, stride: own.stride ?? window }
    : null;
}

export type Row = LayerRow & { pool: Own | null };

/** A row for the picker and the ribbon: what pools says so, and may be chosen whatever comes out. */
function asRow(row: LayerRow): Row {
  const { pool = null } = row as Row;
  if (!pool) return { ...row, pool };
  const shape = row.shape.length === 3 ? row.shape : [row.shape[0] ?? 1, 1, 1];
  return { ...row, pool, kind: "pool", shape, module: `pools: ${settings.describe(pool)}` };
}
