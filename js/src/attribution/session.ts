// What one view of the widget knows and wants: results, the question they answer, how they are
// shown. The parts read it and listen; it alone asks the kernel.

import type { NdArray, Packed } from "../lib/codec.ts";
import { h } from "../lib/dom.ts";
import type { Prediction } from "../lib/images/images.ts";
import { chosen, layerChoice } from "../lib/layers/layer.ts";
import type { Args, Reply } from "../lib/messages.ts";
import { rgbCanvas } from "../lib/picture.ts";
import { createTopics } from "../lib/topics.ts";
import type { Shell } from "../lib/view.ts";
import type { Reduce } from "./heat.ts";
import {
  keyOf,
  type MethodInfo,
  type Question,
  type Results,
  readResults,
  type ScoreKind,
  type Target,
  type Unit,
} from "./results.ts";

/** Lanes whose newest answer is kept as it came. */
const LANES = ["map", "terms", "evidence", "switches", "mask", "patches"] as const;
export type Lane = (typeof LANES)[number];

/** question: what is asked has changed; results: what is known has; look: how it is shown; cursor:
 * the pointer is on another pixel; picture; a lane: its answer has come, or was let go. */
export type Topic = "question" | "results" | "look" | "cursor" | "picture" | Lane;

/** A pixel of the picture. */
export interface Pixel {
  y: number;
  x: number;
}

/** The three rules of the way back, side by side for a unit. */
const RULES = ["gradient", "guided_backprop", "deconvnet"];
/** So many methods are shown at once. */
export const MOST = 6;

export type Session = ReturnType<typeof createSession>;

/** What the parts of one view share. */
export function createSession(shell: Shell) {
  const { channel: kernel } = shell;
  const { on, emit } = createTopics<Topic>();
  const layers = layerChoice(shell);
  const images = shell.trait("_images");
  const self = {
    shell,
    layers,
    methods: shell.trait<string[]>("methods"),
    known: shell.trait<MethodInfo[]>("_methods"),
    unit: shell.trait<Unit | null>("unit"),
    score: shell.trait<ScoreKind>("score"),
    reduce: shell.trait<Reduce>("reduce"),
    share: shell.trait<number>("share"),
    target: shell.trait<Target>("_target"),
    classes: shell.trait<string[] | null>("_classes"),
    /** Of the map over the picture. */
    opacity: 0.75,
    over: true,
    colours: "auto",
    /** The share of the pixels that is not clipped. */
    contrast: 0.99,
    results: null as Results | null,
    cursor: null as Pixel | null,
    name: "",
    /** What the network takes the picture for. */
    best: [] as Prediction[],
    /** The picture as the network sees it. */
    picture: h("canvas"),
    grey: new Uint8Array(1),
    size: [1, 1] as readonly [height: number, width: number],
    /** The channel whose map is offered, also before a unit is chosen. */
    channel: 0,
    /** Of lanes. */
    got: {} as Partial<Record<Lane, Packed>>,
    /** Why there are no terms. */
    noTerms: "",
    /** By method. */
    evidence: new Map<string, Packed>(),
    showSwitches: false,
    /** The method of the mask. */
    masked: "",
    start,
    on,
    emit,
    ask,
    change,
    point,
    pixel,
    setMethod,
    setTarget,
    setUnit,
    place,
    title: (name: string) => info(name)?.title ?? name,
    info,
    showTerms,
    askMap,
    askFor,
    toggleSwitches,
    /** The shown results do not answer the question. */
    get stale(): boolean {
      return !asked || keyOf(asked, layered()) !== keyOf(question(), layered());
    },
    /** Height, width and channels of the chosen layer. */
    get maps(): readonly number[] {
      return chosen(layers)?.shape ?? [];
    },
  };
  let asked: Question | null = null;
  /** What was shown before a unit was chosen. */
  let before: string[] | null = null;
  let due = false;
  let termsWanted = false;
  return self;

  /** Read the traits and listen; called once all parts listen to the session. */
  function start(): void {
    readPicture();
    const unit = self.unit.get();
    if (unit) self.channel = unit[0];
    adoptTrait();
    images.on(() => {
      readPicture();
      asked = null;
      later();
    });
    // After an answer of this view the kernel saves the same, or less of it.
    shell.trait("_results").on(() => self.stale && adoptTrait());
    // A unit belongs to its layer.
    layers.current.on(() => self.unit.set(null));
    for (const trait of [self.methods, self.unit, self.score, self.target, layers.current]) {
      (trait as { on(fn: () => void): void }).on(later);
    }
    for (const trait of [self.reduce, self.share]) {
      (trait as { on(fn: () => void): void }).on(() => emit("look"));
    }
    self.reduce.on(forget);
    listen();
    emit("picture");
    emit("look");
    asking();
  }

  function listen(): void {
    kernel.on("attribute", answered);
    for (const lane of LANES) {
      kernel.on(lane, ({ blob, args, status, message }) => {
        // Evidence of another question: the pictures have gone on.
        const old =
          args?.score && keyOf(args as unknown as Question, true) !== keyOf(question(), true);
        if (blob && !old) self.got[lane] = blob;
        if (blob && !old && lane === "evidence") self.evidence.set(blob.meta.method, blob);
        if (lane === "terms") self.noTerms = status === "ok" ? "" : message;
        emit(lane);
      });
    }
    kernel.onStatus(() => emit("evidence"));
  }

  /** Another way to show the same results. */
  function change(what: Partial<Session>): void {
    Object.assign(self, what);
    emit("look");
  }

  function point(pixel: Pixel | null): void {
    const { cursor } = self;
    if (pixel?.y === cursor?.y && pixel?.x === cursor?.x) return;
    self.cursor = pixel;
    emit("cursor");
  }

  /** The pixel at a place, 0..1 of the picture. */
  function pixel(at: { u: number; v: number } | null): Pixel | null {
    const [height, width] = self.size;
    return at && { y: Math.floor(at.v * height), x: Math.floor(at.u * width) };
  }

  // -- what is asked --------------------------------------------------------------------------

  function info(name: string): MethodInfo | undefined {
    return self.known.get()?.find((each) => each.name === name);
  }

  function layered(): boolean {
    return self.methods.get().some((name) => info(name)?.is_cam);
  }

  function question(): Question {
    const { index = null, other = null } = self.target.get() ?? {};
    const [unit, score] = [self.unit.get() ?? null, self.score.get()];
    return { index, other, layer: layers.current.get(), unit, score };
  }

  /** Several settings that change together make one question. */
  function later(): void {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      if (!shell.signal.aborted) asking();
    });
  }

  /** The question has changed: ask, unless what is there answers it. */
  function asking(): void {
    const unit = self.unit.get() ?? null;
    if (!unit && before) {
      self.methods.set(before);
      before = null;
    }
    const known = new Set(self.results?.methods.map(({ name }) => name));
    if (self.stale || !self.methods.get().every((name) => known.has(name))) ask();
    if (unit) self.channel = unit[0];
    const { channel, layer } = self.got.map?.meta ?? {};
    if (unit && (channel !== unit[0] || layer !== layers.current.get())) askMap(unit[0]);
    if (self.showSwitches) toggleSwitches(true);
    if (termsWanted) showTerms(true);
    emit("question");
  }

  /** The methods one by one; those that are there already cost nothing. */
  function ask(): void {
    kernel.ask("attribute", { methods: self.methods.get(), ...question() }, { replace: true });
  }

  function answered({ blob, args }: Reply): void {
    if (blob) adopt(readResults(blob), (args as Question | null) ?? null);
    else emit("results");
  }

  /** Results that Python has published, or of the notebook that was saved. */
  function adoptTrait(): void {
    const found = shell.packed("_results", readResults);
    if (found) adopt(found, null);
  }

  function adopt(results: Results, of: Question | null): void {
    const { target, layer, unit, score_name: score } = results;
    const now = question();
    // Null stands for what the kernel has: the predicted class, or a function given in Python.
    const index = now.index === null ? null : target.index;
    const read: Question = { index, other: target.other, layer, unit: unit ?? null, score };
    const next = of ?? read;
    if (!asked || keyOf(asked, true) !== keyOf(next, true)) {
      forget();
    }
    asked = next;
    self.results = results;
    const said = results.methods.length > 0 && results.target.name;
    if (said) {
      shell.root.dataset.target = results.target.name;
      shell.root.dataset.score = String(results.score);
    }
    emit("results");
  }

  /** What was made of the results is made of other ones now. */
  function forget(): void {
    self.evidence.clear();
    delete self.got.mask;
    emit("evidence");
    emit("mask");
  }

  function setMethod(name: string, shown: boolean): void {
    const now = self.methods.get();
    const all = self.known.get().map((each) => each.name);
    self.methods.set(all.filter((each) => (each === name ? shown : now.includes(each))));
  }

  /** A class (null: the predicted one), minus another one; also the way back from a unit. */
  function setTarget(wanted: number | null, other: number | null): void {
    const index = wanted ?? self.best[0]?.index ?? null;
    const called = (i: number | null) => self.classes.get()?.[i ?? -1] ?? `class ${i}`;
    const name = called(index) + (other === null ? "" : ` - ${called(other)}`);
    setUnit(null);
    self.target.set({ name, index, other });
  }

  function setUnit(unit: Unit | null): void {
    if (unit && !self.unit.get()) {
      before = self.methods.get();
      self.methods.set(RULES);
    }
    self.unit.set(unit);
  }

  /** The unit of the channel at a place, 0..1 of the picture. */
  function place(at: { u: number; v: number } | null): void {
    const [count, height, width] = self.maps;
    if (!at || !count || !height || !width || kernel.state.offline) return;
    const channel = Math.min(self.channel, count - 1);
    setUnit([channel, Math.floor(at.v * height), Math.floor(at.u * width)]);
  }

  function askMap(channel: number): void {
    self.channel = channel;
    askFor("map", { channel });
  }

  /** Ask a lane about the question as it is; each takes what it needs of that. */
  function askFor(lane: Lane, more: Args = {}): void {
    const { index, other, layer, unit, score } = question();
    const needs: Record<Lane, Args> = {
      map: { layer },
      terms: { index, other, layer },
      evidence: { index, other, layer, unit, score },
      switches: { index, other, layer, unit },
      mask: { share: self.share.get() },
      patches: { layer, channel: self.channel },
    };
    if (lane === "mask") self.masked = String(more.method);
    // One method's evidence after the other.
    kernel.ask(lane, { ...needs[lane], ...more }, { keep: lane === "evidence" });
    emit(lane);
  }

  function showTerms(wanted: boolean): void {
    termsWanted = wanted;
    if (wanted && !self.unit.get()) askFor("terms");
  }

  function toggleSwitches(shown: boolean): void {
    self.showSwitches = shown;
    if (shown) askFor("switches");
    else emit("switches");
  }

  // -- the picture ------------------------------------------------------------------------------

  function readPicture(): void {
    const blob = shell.packed("_images", (blob) => blob) as Packed;
    const { names, predictions, size } = blob.meta;
    const [height, width] = size;
    // Saved small where the whole one would be too much.
    const { data, shape } = blob.arrays.picture ?? (blob.arrays.pictures as NdArray);
    const source = rgbCanvas(data as Uint8Array, shape.at(-2) as number, shape.at(-3) as number);
    const context = self.picture.getContext("2d", { willReadFrequently: true });
    Object.assign(self.picture, { width, height });
    context?.drawImage(source, 0, 0, width, height);
    const pixels = context?.getImageData(0, 0, width, height).data ?? [];
    // Luma of Rec. 601.
    self.grey = Uint8Array.from({ length: width * height }, (_, i) => {
      const part = (k: number): number => pixels[4 * i + k] ?? 0;
      return 0.299 * part(0) + 0.587 * part(1) + 0.114 * part(2);
    });
    self.size = size;
    self.name = names[0];
    self.best = predictions[0];
    emit("picture");
  }
}
