// What one view of the widget knows and wants: traits, the maps at hand, questions under way.
// The parts (ribbon, grid, ...) read it and listen to it; none of them talks to the kernel itself.

import { array, type NdArray, type Packed, unpack } from "../lib/codec.ts";
import { DIVERGING, displayRange, resolve, type Scale, table } from "../lib/colormap.ts";
import type { Box } from "../lib/picture.ts";
import type { Look, QuantisedMap } from "../lib/tiles.ts";
import type { Shell, Trait } from "../lib/view.ts";
import type { Comparison } from "./compare.ts";
import { LayerMaps, type LayerRow } from "./layer_maps.ts";
import { narrow } from "./layout.ts";
import { orderChannels, type Sort } from "./order.ts";

export interface Prediction {
  index: number;
  label: string;
  logit: number;
  probability: number;
}

/** The trait `_images`. */
export interface Images {
  names: string[];
  predictions: Prediction[][];
  size: [number, number];
  pictures: NdArray<"uint8">;
}

/** What the pointer is on. */
export interface Hover {
  channel: number;
  y: number;
  x: number;
  value: number;
  exact: boolean;
  box: Box | null;
}

/** layers: the network; images; maps: other maps than before; more: some further maps; stale: the
 * shown maps are no longer, or again, the wanted ones; order; look: colours; full: one channel's
 * floats; compare; channel: another one is open; hover. */
export type Topic =
  | "layers"
  | "images"
  | "maps"
  | "more"
  | "stale"
  | "order"
  | "look"
  | "full"
  | "compare"
  | "channel"
  | "hover";

/** Most channels one question of lane "more" may name. */
const PAGE = 256;

export class Session {
  readonly shell: Shell;
  readonly layer: Trait<string>;
  readonly channel: Trait<number | null>;
  readonly image: Trait<number>;
  readonly sort: Trait<Sort>;
  readonly scale: Trait<Scale>;
  readonly colormap: Trait<string>;
  readonly hideDead: Trait<boolean>;
  layers: LayerRow[] = [];
  images: Images | null = null;
  maps: LayerMaps | null = null;
  /** Channels in the order of the grid. */
  order: Int32Array = new Int32Array();
  comparison: Comparison | null = null;
  hover: Hover | null = null;
  /** What the kernel said instead of sending the wanted maps. */
  refusal: string | null = null;
  /** 0 shows the whole range of values, 1 a twentieth of it; of this view alone. */
  contrast = 0;
  ms = 0;
  readonly #listeners = new Map<Topic, Array<() => void>>();
  readonly #layers: Trait<LayerRow[]>;
  readonly #images: Trait<DataView | null>;
  readonly #maps: Trait<DataView | null>;
  /** The question of lane "more" that is under way. */
  #wish: number[] = [];
  readonly #refused = new Set<number>();
  #look: Look | null = null;

  constructor(shell: Shell) {
    this.shell = shell;
    this.layer = shell.trait("layer");
    this.channel = shell.trait("channel");
    this.image = shell.trait("image_index");
    this.sort = shell.trait("sort");
    this.scale = shell.trait("scale");
    this.colormap = shell.trait("colormap");
    this.hideDead = shell.trait("hide_dead");
    this.#layers = shell.trait("_layers");
    this.#images = shell.trait("_images");
    this.#maps = shell.trait("_maps");
  }

  /** Read the traits and listen; called once all parts listen to the session. */
  start(): void {
    const { channel } = this.shell;
    for (const trait of [this.layer, this.image]) trait.on(() => this.#want());
    for (const trait of [this.sort, this.hideDead]) trait.on(() => this.#reorder());
    for (const trait of [this.scale, this.colormap]) trait.on(() => this.changeLook());
    this.channel.on(() => this.emit("channel"));
    this.#layers.on(() => this.#readLayers());
    this.#images.on(() => this.#readImages());
    this.#maps.on(() => this.#readMaps());
    channel.on("layer", (reply) => {
      if (reply.blob) this.#adopt(reply.blob, reply.ms);
      else if (reply.status === "error" && this.#fits(reply.args ?? {}))
        this.#refuse(reply.message);
    });
    channel.on("more", (reply) => {
      const asked = (reply.args?.channels ?? []) as number[];
      if (reply.status === "error") for (const wish of asked) this.#refused.add(wish);
      if (asked === this.#wish) this.#wish = [];
      if (reply.blob && this.#fits(reply.blob.meta)) {
        this.maps?.add(reply.blob, new Set(this.#wish));
        this.emit("more");
      }
    });
    channel.on("channel", (reply) => {
      if (!reply.blob || !this.#fits(reply.blob.meta)) return;
      this.maps?.addFull(reply.blob);
      this.emit("full");
    });
    channel.on("compare", (reply) => this.#compared(reply.blob, reply.status, reply.message));
    channel.onStatus(() => {
      this.#refused.clear();
      this.emit("stale");
    });
    this.#readLayers();
    this.#readImages();
    this.#readMaps();
    this.#want();
    this.emit("channel");
  }

  on(topics: readonly Topic[], fn: () => void): void {
    for (const topic of topics) {
      this.#listeners.set(topic, [...(this.#listeners.get(topic) ?? []), fn]);
    }
  }

  emit(topic: Topic): void {
    for (const fn of this.#listeners.get(topic) ?? []) fn();
  }

  /** The row of the layer that is wanted. */
  get row(): LayerRow | null {
    const name = this.layer.get();
    return this.layers.find((row) => row.name === name) ?? null;
  }

  /** Whether the maps at hand are those of another layer or image than wanted. */
  get stale(): boolean {
    return !this.maps || !this.#fits({ layer: this.maps.layer, image: this.maps.image });
  }

  /** There is no kernel: it is gone, or this is a saved page, which holds whole layers at most. */
  get alone(): boolean {
    const { offline, saved } = this.shell.channel.state;
    return offline !== null || saved;
  }

  /** Colours for the maps at hand; the same object until something about colours changes. */
  get look(): Look {
    this.#look ??= this.lookFor(this.maps?.lo ?? 0, this.maps?.hi ?? 0, this.scale.get());
    return this.#look;
  }

  /** Colours for maps whose values together go from `lo` to `hi`. */
  lookFor(lo: number, hi: number, scale: Scale): Look {
    const name = resolve(this.colormap.get(), this.maps?.signed ?? lo < 0);
    const diverging = DIVERGING.has(name);
    const { contrast } = this;
    return {
      colours: table(name),
      range: (map) => narrow(...displayRange(map.lo, map.hi, scale, diverging, lo, hi), contrast),
    };
  }

  /** Colours, scale or contrast changed: repaint, ask nobody. */
  changeLook(): void {
    this.#look = null;
    this.emit("look");
  }

  /** A map of the grid; null when it has not come yet. */
  map(channel: number): QuantisedMap | null {
    return this.maps?.maps.get(channel) ?? null;
  }

  /** See to it that these channels come, the first ones first. */
  need(channels: readonly number[]): void {
    const { maps } = this;
    if (!maps || this.stale || this.alone) return;
    const missing = channels.filter((c) => !maps.maps.has(c) && !this.#refused.has(c));
    if (missing.length === 0 || missing.every((c) => this.#wish.includes(c))) return;
    this.#wish = missing.slice(0, PAGE);
    const { layer, image } = maps;
    this.shell.channel.ask("more", { layer, image, channels: this.#wish }, { replace: true });
  }

  /** See to it that one channel comes as floats, with its weights. */
  needFull(channel: number): void {
    const { maps } = this;
    if (!maps || this.stale || this.alone || maps.full.has(channel)) return;
    const { layer, image } = maps;
    this.shell.channel.ask("channel", { layer, image, channel }, { replace: true });
  }

  /** Ask for the open channel across all images; what has come already stays. */
  needComparison(): void {
    const layer = this.layer.get();
    const channel = this.channel.get();
    if (channel === null) return;
    const old = this.comparison;
    if (old && old.layer === layer && old.channel === channel && !old.failed) return;
    this.comparison = { layer, channel, maps: [], cells: [1, 1], done: false, failed: null };
    if (!this.alone) this.shell.channel.ask("compare", { layer, channel }, { replace: true });
    this.emit("compare");
  }

  /** Say what the pointer is on. */
  point(hover: Hover | null): void {
    if (hover === null && this.hover === null) return;
    this.hover = hover;
    this.emit("hover");
  }

  #fits(what: Record<string, unknown>): boolean {
    return what.layer === this.layer.get() && what.image === this.image.get();
  }

  #readLayers(): void {
    this.layers = this.#layers.get() ?? [];
    this.emit("layers");
  }

  #readImages(): void {
    const value = this.#images.get();
    if (!value || value.byteLength === 0) return;
    const blob = unpack(value);
    const { names, predictions, size } = blob.meta;
    this.images = { names, predictions, size, pictures: array(blob, "pictures", "uint8") };
    this.emit("images");
  }

  /** `_maps` came: the saved state, a refresh after more training, or the echo of an answer. */
  #readMaps(): void {
    const value = this.#maps.get();
    if (!value || value.byteLength === 0) return;
    const blob = unpack(value);
    const known = this.maps && !this.stale && this.maps.version === blob.meta.version;
    if (!known) this.#adopt(blob, Number(blob.meta.ms) || 0);
  }

  #adopt(blob: Packed, ms: number): void {
    if (!this.#fits(blob.meta)) return;
    this.maps = new LayerMaps(blob);
    this.ms = Number(blob.meta.ms) || ms;
    this.refusal = null;
    this.#look = null;
    this.#wish = [];
    this.#refused.clear();
    this.comparison = null;
    this.hover = null;
    this.#sortChannels();
    this.emit("maps");
    this.emit("stale");
    this.emit("hover");
  }

  #refuse(message: string): void {
    this.refusal = message || "The kernel could not compute this layer.";
    this.emit("stale");
  }

  /** Layer or image changed: use what is at hand, or ask. */
  #want(): void {
    this.refusal = null;
    this.comparison = null;
    if (this.stale) this.#readMaps();
    if (this.stale && this.layer.get()) {
      const args = { layer: this.layer.get(), image: this.image.get() };
      // A saved page has one answer per layer and image: it is asked for by the same words always.
      const order = this.shell.channel.saved
        ? { sort: "index", hide_dead: false }
        : { sort: this.sort.get(), hide_dead: this.hideDead.get() };
      this.shell.channel.ask("layer", { ...args, ...order }, { replace: true });
    }
    this.emit("stale");
  }

  #sortChannels(): void {
    if (!this.maps) return;
    this.order = orderChannels(this.maps.stats, this.sort.get(), this.hideDead.get());
  }

  #reorder(): void {
    this.#sortChannels();
    this.emit("order");
  }

  #compared(blob: Packed | null, status: string, message: string): void {
    const wanted = this.comparison;
    if (!wanted) return;
    if (!blob) {
      if (status === "error") wanted.failed = message;
      if (status === "cancelled") wanted.failed = "Stopped.";
    } else if (blob.meta.layer === wanted.layer && blob.meta.channel === wanted.channel) {
      const codes = array(blob, "codes", "uint8");
      const lo = array(blob, "lo", "float32").data;
      const hi = array(blob, "hi", "float32").data;
      const [, height = 1, width = 1] = codes.shape;
      const size = height * width;
      wanted.cells = [height, width];
      wanted.maps = Array.from(lo, (low, i) => ({
        codes: codes.data.subarray(i * size, (i + 1) * size),
        lo: low,
        hi: hi[i] as number,
      }));
      wanted.done = status === "ok";
    }
    this.emit("compare");
  }
}
