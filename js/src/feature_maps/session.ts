// What one view of the widget knows and wants: traits, the maps at hand, questions under way.
// The parts (ribbon, grid, ...) read it and listen to it; none of them talks to the kernel itself.

import type { Packed } from "../lib/codec.ts";
import { DIVERGING, displayRange, resolve, type Scale, table } from "../lib/colormap.ts";
import { imageChoice } from "../lib/images/images.ts";
import { layerChoice } from "../lib/layers/layer.ts";
import type { Reply } from "../lib/messages.ts";
import type { Look } from "../lib/tiles.ts";
import { createTopics } from "../lib/topics.ts";
import type { Shell } from "../lib/view.ts";
import { type Comparison, rangeOf } from "./comparison.ts";
import { type LayerMaps, readLayerMaps, readQuantised } from "./layer_maps.ts";
import { narrow } from "./layout.ts";
import { orderChannels, type Sort } from "./order.ts";
import type { Hover, Topic } from "./topics.ts";

export type { Hover, Topic };

/** Most channels one question of lane "more" may name. */
const PAGE = 256;

export type Session = ReturnType<typeof createSession>;

/** What the parts of one view share. */
export function createSession(shell: Shell) {
  const { channel: kernel } = shell;
  const ofLayer = layerChoice(shell);
  const ofImage = imageChoice(shell);
  const { on, emit } = createTopics<Topic>();
  /** The question of lane "more" that is under way. */
  let wish: number[] = [];
  let look: Look | null = null;
  /** A saved page holds the floats of one layer: for others it is not asked again and again. */
  let noFloats = false;

  const self = {
    shell,
    layerChoice: ofLayer,
    imageChoice: ofImage,
    layer: ofLayer.current,
    image: ofImage.current,
    images: ofImage.images,
    channel: shell.trait<number | null>("channel"),
    sort: shell.trait<Sort>("sort"),
    scale: shell.trait<Scale>("scale"),
    colormap: shell.trait<string>("colormap"),
    hideDead: shell.trait<boolean>("hide_dead"),
    maps: null as LayerMaps | null,
    /** Channels in the order of the grid. */
    order: new Int32Array() as Int32Array,
    comparison: null as Comparison | null,
    /** The open channel is shown on all images. */
    comparing: false,
    hover: null as Hover | null,
    /** What is said in place of the wanted maps, when they will not come. */
    refusal: null as string | null,
    /** 0 shows the whole range of values, 1 a twentieth of it; of this view alone. */
    contrast: 0,
    start,
    on,
    emit,
    changeLook,
    need,
    needFull,
    needComparison,
    point,
    /** Whether the maps at hand are those of another layer or image than wanted. */
    get stale(): boolean {
      return !self.maps || !fits(self.maps);
    },
    get offline(): boolean {
      return kernel.state.offline !== null;
    },
    /** Colours for the maps at hand; the same object until something about colours changes. */
    get look(): Look {
      look ??= lookFor(self.maps?.lo ?? 0, self.maps?.hi ?? 0, self.scale.get());
      return look;
    },
    /** The colours in sight, and the values of the first and the last; null: every map has others. */
    get shown(): { colours: Uint32Array; range: readonly [number, number] | null } {
      const { minimum = [0], maximum = [0] } = self.maps?.stats ?? {};
      const open = self.channel.get();
      const look = open !== null && self.comparing ? self.comparisonLook : self.look;
      const each = open === null && self.scale.get() === "map";
      const at = open ?? 0;
      const map = { lo: minimum[at] ?? 0, hi: maximum[at] ?? 0 };
      return { colours: look.colours, range: each ? null : look.range(map) };
    },
    /** Colours for the maps of all images: one scale, or they could not be compared. */
    get comparisonLook(): Look {
      const [lo, hi] = rangeOf(self.comparison?.maps ?? []);
      return lookFor(lo, hi, self.scale.get() === "symmetric" ? "symmetric" : "layer");
    },
  };
  return self;

  /** Read the traits and listen; called once all parts listen to the session. */
  function start(): void {
    for (const trait of [self.layer, self.image]) trait.on(want);
    for (const trait of [self.sort, self.hideDead]) trait.on(reorder);
    for (const trait of [self.scale, self.colormap]) trait.on(changeLook);
    self.channel.on(() => emit("channel"));
    shell.trait("_maps").on(() => {
      if (readMaps() === null) ask();
    });
    kernel.on("layer", ({ blob, status, args, message }) => {
      if (blob) adopt(blob);
      else if ((status === "error" || status === "unsaved") && fits(args ?? {})) {
        // The error itself stands below.
        const failed = `There are no maps of ${self.layer.get()} to show.`;
        self.refusal = status === "error" ? failed : message;
        emit("stale");
      }
    });
    kernel.on("more", (reply) => {
      const { blob, status, args } = reply;
      // What was refused stays wished for, so that it is not asked again and again.
      if (!unsaved(reply) && args?.channels === wish && status !== "error") wish = [];
      if (!blob || !fits(blob.meta)) return;
      self.maps?.add(blob, wish);
      emit("more");
    });
    kernel.on("channel", (reply) => {
      const { blob } = reply;
      noFloats ||= unsaved(reply);
      if (!blob || !fits(blob.meta)) return;
      self.maps?.addFull(blob);
      emit("full");
    });
    kernel.on("compare", compared);
    kernel.onStatus(() => emit("stale"));
    want();
    emit("channel");
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
    if (!maps || self.stale || self.offline) return;
    const missing = channels.filter((c) => !maps.maps.has(c));
    if (missing.length === 0 || missing.every((c) => wish.includes(c))) return;
    wish = missing.slice(0, PAGE);
    const { layer, image } = maps;
    kernel.ask("more", { layer, image, channels: wish }, { replace: true });
  }

  /** See to it that one channel comes as floats, with its weights. */
  function needFull(channel: number): void {
    const { maps } = self;
    if (!maps || self.stale || self.offline || noFloats || maps.full.has(channel)) return;
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
    if (!self.offline) kernel.ask("compare", { layer, channel }, { replace: true });
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

  /** Whether a saved page lacks an answer. Where it can do without, nothing need be said. */
  function unsaved({ status }: Reply): boolean {
    const lacking = status === "unsaved";
    if (lacking) emit("hover");
    return lacking;
  }

  /** `_maps` came: the saved state, a refresh after more training, or the echo of an answer. Null:
   * it cannot be read. */
  function readMaps(): true | null {
    return shell.packed("_maps", (blob) => {
      const known = self.maps && !self.stale && self.maps.version === blob.meta.version;
      if (!known) adopt(blob);
      return true;
    });
  }

  function adopt(blob: Packed): void {
    if (!fits(blob.meta)) return;
    const fresh = readLayerMaps(blob);
    // The other images' maps of the same weights are still right.
    if (fresh.version !== self.maps?.version) self.comparison = null;
    self.maps = fresh;
    self.refusal = null;
    look = null;
    wish = [];
    noFloats = false;
    self.hover = null;
    sortChannels();
    emit("maps");
    emit("stale");
    emit("hover");
  }

  /** Layer or image changed: use what is at hand, or ask. */
  function want(): void {
    self.refusal = null;
    if (self.comparison?.layer !== self.layer.get()) self.comparison = null;
    if (self.stale) readMaps();
    if (self.stale) ask();
    emit("stale");
  }

  function ask(): void {
    if (!self.layer.get()) return;
    const args = { layer: self.layer.get(), image: self.image.get() };
    const order = { sort: self.sort.get(), hide_dead: self.hideDead.get() };
    kernel.ask("layer", { ...args, ...order }, { replace: true });
  }

  function sortChannels(): void {
    if (!self.maps) return;
    self.order = orderChannels(self.maps.stats, self.sort.get(), self.hideDead.get());
  }

  function reorder(): void {
    sortChannels();
    emit("order");
  }

  function compared(reply: Reply): void {
    const { blob, status, message } = reply;
    const wanted = self.comparison;
    if (!wanted) return;
    if (!blob) {
      if (unsaved(reply) || status === "error") wanted.failed = message;
      if (status === "cancelled") wanted.failed = "Stopped.";
    } else if (blob.meta.layer === wanted.layer && blob.meta.channel === wanted.channel) {
      Object.assign(wanted, readQuantised(blob), { done: status === "ok" });
    }
    emit("compare");
  }
}
