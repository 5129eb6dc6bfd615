// What one view of the widget knows and wants: traits, the maps at hand, questions under way.
// The parts (ribbon, grid, ...) read it and listen to it; none of them talks to the kernel itself.

import { array, type Packed, unpack } from "../lib/codec.ts";
import { DIVERGING, displayRange, resolve, type Scale, table } from "../lib/colormap.ts";
import type { Reply } from "../lib/messages.ts";
import type { Look } from "../lib/tiles.ts";
import type { Shell } from "../lib/view.ts";
import type { Comparison } from "./compare.ts";
import { type LayerMaps, type LayerRow, readLayerMaps, readQuantised } from "./layer_maps.ts";
import { narrow } from "./layout.ts";
import { orderChannels, type Sort } from "./order.ts";
import type { Hover, Images, Prediction, Topic } from "./topics.ts";

export type { Hover, Images, Prediction, Topic };

/** Most channels one question of lane "more" may name. */
const PAGE = 256;

export type Session = ReturnType<typeof createSession>;

/** What the parts of one view share. */
export function createSession(shell: Shell) {
  const { channel: kernel } = shell;
  const layersTrait = shell.trait<LayerRow[] | null>("_layers");
  const imagesTrait = shell.trait<DataView | null>("_images");
  const mapsTrait = shell.trait<DataView | null>("_maps");
  const listeners: Partial<Record<Topic, Array<() => void>>> = {};
  /** The question of lane "more" that is under way. */
  let wish: number[] = [];
  let look: Look | null = null;
  /** A saved page holds the floats of one layer: for others it is not asked again and again. */
  let noFloats = false;

  const self = {
    shell,
    layer: shell.trait<string>("layer"),
    channel: shell.trait<number | null>("channel"),
    image: shell.trait<number>("image_index"),
    sort: shell.trait<Sort>("sort"),
    scale: shell.trait<Scale>("scale"),
    colormap: shell.trait<string>("colormap"),
    hideDead: shell.trait<boolean>("hide_dead"),
    layers: [] as LayerRow[],
    images: null as Images | null,
    maps: null as LayerMaps | null,
    /** Channels in the order of the grid. */
    order: new Int32Array() as Int32Array,
    comparison: null as Comparison | null,
    hover: null as Hover | null,
    /** What the kernel said instead of sending the wanted maps. */
    refusal: null as string | null,
    /** 0 shows the whole range of values, 1 a twentieth of it; of this view alone. */
    contrast: 0,
    start,
    on,
    emit,
    changeLook,
    lookFor,
    need,
    needFull,
    needComparison,
    point,
    /** The row of the layer that is wanted. */
    get row(): LayerRow | null {
      return self.layers.find((row) => row.name === self.layer.get()) ?? null;
    },
    /** Whether the maps at hand are those of another layer or image than wanted. */
    get stale(): boolean {
      return !self.maps || !fits(self.maps);
    },
    /** There is no kernel: it is gone, or this is a saved page, which holds whole layers at most. */
    get alone(): boolean {
      return kernel.state.offline !== null || kernel.saved;
    },
    /** Colours for the maps at hand; the same object until something about colours changes. */
    get look(): Look {
      look ??= lookFor(self.maps?.lo ?? 0, self.maps?.hi ?? 0, self.scale.get());
      return look;
    },
  };
  return self;

  /** Read the traits and listen; called once all parts listen to the session. */
  function start(): void {
    for (const trait of [self.layer, self.image]) trait.on(want);
    for (const trait of [self.sort, self.hideDead]) trait.on(reorder);
    for (const trait of [self.scale, self.colormap]) trait.on(changeLook);
    self.channel.on(() => emit("channel"));
    layersTrait.on(readLayers);
    imagesTrait.on(readImages);
    mapsTrait.on(readMaps);
    kernel.on("layer", ({ blob, status, args, message }) => {
      if (blob) adopt(blob);
      else if (status === "error" && fits(args ?? {})) {
        self.refusal = message;
        emit("stale");
      }
    });
    kernel.on("more", ({ blob, status, args }) => {
      // What the kernel refused stays wished for, so that it is not asked again and again.
      if (args?.channels === wish && status !== "error") wish = [];
      if (!blob || !fits(blob.meta)) return;
      self.maps?.add(blob, wish);
      emit("more");
    });
    kernel.on("channel", ({ blob, status }) => {
      if (status === "error" && kernel.saved) {
        noFloats = true;
        shell.error(null);
      }
      if (!blob || !fits(blob.meta)) return;
      self.maps?.addFull(blob);
      emit("full");
    });
    kernel.on("compare", compared);
    kernel.onStatus(() => emit("stale"));
    readLayers();
    readImages();
    readMaps();
    want();
    emit("channel");
  }

  function on(topics: readonly Topic[], fn: () => void): void {
    for (const topic of topics) {
      listeners[topic] = [...(listeners[topic] ?? []), fn];
    }
  }

  function emit(topic: Topic): void {
    for (const fn of listeners[topic] ?? []) fn();
  }

  /** Colours for maps whose values together go from `lo` to `hi`. */
  function lookFor(lo: number, hi: number, scale: Scale): Look {
    const name = resolve(self.colormap.get(), self.maps?.signed ?? lo < 0);
    const diverging = DIVERGING.has(name);
    const { contrast } = self;
    return {
      colours: table(name),
      range: (map) => narrow(...displayRange(map.lo, map.hi, scale, diverging, lo, hi), contrast),
    };
  }

  /** Colours, scale or contrast changed: repaint, ask nobody. */
  function changeLook(): void {
    look = null;
    emit("look");
  }

  /** See to it that these channels come, the first ones first. */
  function need(channels: readonly number[]): void {
    const { maps } = self;
    if (!maps || self.stale || self.alone) return;
    const missing = channels.filter((c) => !maps.maps.has(c));
    if (missing.length === 0 || missing.every((c) => wish.includes(c))) return;
    wish = missing.slice(0, PAGE);
    const { layer, image } = maps;
    kernel.ask("more", { layer, image, channels: wish }, { replace: true });
  }

  /** See to it that one channel comes as floats, with its weights. */
  function needFull(channel: number): void {
    const { maps } = self;
    if (!maps || self.stale || kernel.state.offline || noFloats || maps.full.has(channel)) return;
    const { layer, image } = maps;
    kernel.ask("channel", { layer, image, channel }, { replace: true });
  }

  /** Ask for the open channel across all images; what has come already stays. */
  function needComparison(): void {
    const layer = self.layer.get();
    const channel = self.channel.get();
    if (channel === null) return;
    const old = self.comparison;
    if (old && old.layer === layer && old.channel === channel && !old.failed) return;
    self.comparison = { layer, channel, maps: [], cells: [1, 1], done: false, failed: null };
    if (!self.alone) kernel.ask("compare", { layer, channel }, { replace: true });
    emit("compare");
  }

  /** Say what the pointer is on. */
  function point(hover: Hover | null): void {
    if (hover === null && self.hover === null) return;
    self.hover = hover;
    emit("hover");
  }

  function fits(what: { layer?: unknown; image?: unknown }): boolean {
    return what.layer === self.layer.get() && what.image === self.image.get();
  }

  function readLayers(): void {
    self.layers = layersTrait.get() ?? [];
    emit("layers");
  }

  function readImages(): void {
    const value = imagesTrait.get();
    if (!value || value.byteLength === 0) return;
    const blob = unpack(value);
    const { names, predictions, size } = blob.meta;
    self.images = { names, predictions, size, pictures: array(blob, "pictures", "uint8") };
    emit("images");
  }

  /** `_maps` came: the saved state, a refresh after more training, or the echo of an answer. */
  function readMaps(): void {
    const value = mapsTrait.get();
    if (!value || value.byteLength === 0) return;
    const blob = unpack(value);
    const known = self.maps && !self.stale && self.maps.version === blob.meta.version;
    if (!known) adopt(blob);
  }

  function adopt(blob: Packed): void {
    if (!fits(blob.meta)) return;
    self.maps = readLayerMaps(blob);
    self.refusal = null;
    look = null;
    wish = [];
    noFloats = false;
    self.comparison = null;
    self.hover = null;
    sortChannels();
    emit("maps");
    emit("stale");
    emit("hover");
  }

  /** Layer or image changed: use what is at hand, or ask. */
  function want(): void {
    self.refusal = null;
    self.comparison = null;
    if (self.stale) readMaps();
    if (self.stale && self.layer.get()) {
      const args = { layer: self.layer.get(), image: self.image.get() };
      const order = { sort: self.sort.get(), hide_dead: self.hideDead.get() };
      kernel.ask("layer", { ...args, ...order }, { replace: true });
    }
    emit("stale");
  }

  function sortChannels(): void {
    if (!self.maps) return;
    self.order = orderChannels(self.maps.stats, self.sort.get(), self.hideDead.get());
  }

  function reorder(): void {
    sortChannels();
    emit("order");
  }

  function compared({ blob, status, message }: Reply): void {
    const wanted = self.comparison;
    if (!wanted) return;
    if (!blob) {
      if (status === "error") wanted.failed = message;
      if (status === "cancelled") wanted.failed = "Stopped.";
    } else if (blob.meta.layer === wanted.layer && blob.meta.channel === wanted.channel) {
      Object.assign(wanted, readQuantised(blob), { done: status === "ok" });
    }
    emit("compare");
  }
}
