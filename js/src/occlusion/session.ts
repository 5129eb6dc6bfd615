// What one view of the widget knows and wants: the mask, the fill, scores, the sweep, questions under
// way. The parts (stage, scores, sweep, ...) read it and listen; none of them asks the kernel.

import { array, type Packed } from "../lib/codec.ts";
import { h } from "../lib/dom.ts";
import type { Args, Reply } from "../lib/messages.ts";
import { type Box, rgbCanvas } from "../lib/picture.ts";
import { clamp } from "../lib/small.ts";
import { createTopics } from "../lib/topics.ts";
import type { Shell } from "../lib/view.ts";
import { blend, type Fill, guess, type Rgb } from "./blend.ts";
import { crop, paintBox } from "./brush.ts";
import { createHistory, same } from "./history.ts";
import {
  type Pair,
  type Place,
  pair,
  readSweep,
  type ScoreKind,
  type Show,
  type Sweep,
  single,
} from "./sweep.ts";
import { readImage, readMask } from "./traits.ts";
import type { Scores } from "./verdict.ts";

export const TOOLS = ["brush", "rectangle", "stamp", "eraser"] as const;
export type Tool = (typeof TOOLS)[number];

/** mask: something was painted; steps: what undo and redo can do; scores; fill: what stands in where
 * all is hidden; tool: it, its size or hardness; sweep: another one, or how it is shown; place: the
 * pointer is on another position of it; target; cut: the mask is about to be replaced, so a stroke that
 * is under way ends here. */
export type Topic =
  | "mask"
  | "steps"
  | "scores"
  | "fill"
  | "tool"
  | "sweep"
  | "place"
  | "target"
  | "cut";

export interface Target {
  name: string;
  index: number | null;
}

export type Session = ReturnType<typeof createSession>;

/** What the parts of one view share. */
export function createSession(shell: Shell) {
  const { channel: kernel } = shell;
  const { on, emit } = createTopics<Topic>();
  const image = readImage(shell);
  const [height, width] = image.size;
  const history = createHistory(height, width);
  const composite = h("canvas", { width, height });
  const context = composite.getContext("2d");
  const pixels = new ImageData(width, height);
  const fills = new Map<string, Rgb>();
  /** When and for which painting each question of lane "scores" was asked. */
  const asked = new WeakMap<Args, { at: number; state: string }>();

  const self = {
    shell,
    history,
    /** Height and width of what the network sees. */
    size: image.size as Pair,
    name: image.name,
    clean: rgbCanvas(image.picture.data, width, height),
    composite,
    hidden: image.hidden,
    fill: shell.trait<Fill>("fill"),
    window: shell.trait<unknown>("window"),
    stride: shell.trait<unknown>("stride"),
    score: shell.trait<ScoreKind>("score"),
    show: shell.trait<Show>("show"),
    target: shell.trait<Target>("_target"),
    classes: shell.trait<string[] | null>("_classes"),
    tool: "brush" as Tool,
    /** Diameter of the brush in pixels of the picture. */
    brushSize: Math.max(1, Math.round(Math.min(height, width) / 7)),
    hardness: 1,
    scores: null as Scores | null,
    /** Milliseconds from the pointer to the shown score; null: it came by another way. */
    latency: null as number | null,
    sweep: null as Sweep | null,
    /** Classes in the order of their colours. */
    order: [] as number[],
    place: null as Place | null,
    opacity: 0.7,
    /** Which share of the largest drops is shown. */
    share: 1,
    onStage: false,
    start,
    on,
    emit,
    painted,
    finished,
    put,
    travel,
    invert: () => put(history.mask.data.map((value) => 255 - value)),
    clear: () => put(new Uint8Array(height * width)),
    setTool,
    setBrush,
    setWindow,
    /** The largest brush. */
    largest: Math.max(1, Math.round(Math.min(height, width) / 2)),
    resize,
    preview,
    setFill,
    setTarget,
    setScore,
    run,
    stamp,
    point,
    /** The shown scores are not those of what is painted, and nobody is at work on them. */
    get unscored(): boolean {
      return nobody() && scored !== state();
    },
    /** Height and width of the stamp, and of a sweep's window. */
    get patch(): Pair {
      return pair(self.window.get());
    },
  };
  /** What the shown scores are of. */
  let scored = "";
  /** The last question for scores ended in an error. */
  let failed = false;
  return self;

  /** Read the traits and listen; called once all parts listen to the session. */
  function start(): void {
    const mask = readMask(shell, height * width);
    history.start(mask?.data ?? new Uint8Array(height * width));
    fills.set(String(self.fill.get()), image.hidden);
    adoptScores(
      shell.packed("_scores", (blob) => blob),
      state(),
    );
    adoptSweep(shell.packed("_sweep", readSweep));
    repaint();
    listen();
    for (const topic of ["steps", "scores", "fill", "tool", "sweep", "target"] as const)
      emit(topic);
  }

  function listen(): void {
    shell.trait("_mask").on(maskCame);
    shell.trait("_image").on(imageCame);
    shell.trait("_scores").on(savedScoresCame);
    shell.trait("_sweep").on(() => adoptSweep(shell.packed("_sweep", readSweep)));
    self.fill.on(fillChanged);
    for (const trait of [self.window, self.stride, self.show]) trait.on(() => emit("sweep"));
    self.window.on(() => emit("tool"));
    self.score.on(() => emit("sweep"));
    self.target.on(() => emit("target"));
    kernel.on("scores", scoresCame);
    kernel.on("fill", ({ blob }) => {
      if (!blob) return;
      fills.set(String(blob.meta.fill), array(blob, "hidden", "uint8"));
      useFill(self.fill.get());
    });
    for (const lane of ["sweep", "target"]) {
      kernel.on(lane, ({ blob }) => {
        if (blob && blob.meta.sweep !== false) adoptSweep(readSweep(blob));
      });
    }
    kernel.onStatus(() => emit("scores"));
  }

  // -- painting ---------------------------------------------------------------------------------

  /** A tool has changed this part of the mask; `at` is when the pointer was there. The question goes
   * out at once, for a frame takes longer than many a network; the channel keeps only the newest. */
  function painted(box: Box | null, at: number): void {
    if (!box) return;
    history.touched();
    ask(false, at);
    repaint(box);
  }

  /** A stroke is over. */
  function finished(at: number): void {
    if (!history.commit()) return;
    ask(true, at);
    emit("steps");
  }

  /** Another mask in one step. */
  function put(data: Uint8Array): void {
    emit("cut");
    if (!history.put(data)) return;
    repaint();
    ask(true, performance.now());
    emit("steps");
  }

  function travel(way: "undo" | "redo"): void {
    emit("cut");
    if (!history[way]()) return;
    repaint();
    ask(true, performance.now());
    emit("steps");
  }

  /** Hide what a position of the sweep hides. */
  function stamp({ box }: Place): void {
    emit("cut");
    history.begin();
    painted(paintBox(history.mask, box), performance.now());
    finished(performance.now());
  }

  /** Ask for the scores of what is painted now. Newer questions overtake older ones, and offline
   * ones wait for the kernel; a saved page has nobody to ask. */
  function ask(done: boolean, at: number): void {
    if (nobody()) emit("scores");
    if (kernel.saved) return;
    const { box, data } = crop(history.mask);
    const args = { fill: self.fill.get(), box, done };
    asked.set(args, { at, state: state() });
    // Python's history of strokes misses none.
    kernel.ask("scores", args, { keep: done, arrays: { mask: { shape: box.slice(2), data } } });
  }

  /** Blend a part of the picture anew. */
  function repaint(part: Box = { top: 0, left: 0, bottom: height, right: width }): void {
    blend(pixels.data, history.mask, image.picture.data, self.hidden, part);
    const { top, left, bottom, right } = part;
    context?.putImageData(pixels, 0, 0, left, top, right - left, bottom - top);
    emit("mask");
  }

  // -- what comes from the kernel ---------------------------------------------------------------

  /** The same image in other weights or with another fill. */
  function imageCame(): void {
    const next = readImage(shell);
    if (next.picture.data.length !== image.picture.data.length) return;
    Object.assign(image, next);
    const key = String(self.fill.get());
    if (!fills.has(key)) fills.set(key, image.hidden);
    useFill(self.fill.get());
  }

  /** Python, or another view, has painted. */
  function maskCame(): void {
    const mask = readMask(shell, height * width);
    if (!mask || mask.origin === kernel.view || same(mask.data, history.mask.data)) return;
    emit("cut");
    history.put(mask.data);
    repaint();
    // An older question of this view, on its way, would undo in the kernel what has come.
    if (kernel.pending("scores")) ask(false, performance.now());
    emit("steps");
  }

  function scoresCame({ blob, args, status }: Reply): void {
    failed = status === "error";
    if (failed) emit("scores");
    if (!blob) return;
    const question = args && asked.get(args);
    self.latency = question ? performance.now() - question.at : null;
    adoptScores(blob, question?.state ?? "");
  }

  /** The kernel saves its state now and then: it may lag behind what is painted here. */
  function savedScoresCame(): void {
    const blob = shell.packed("_scores", (blob) => blob);
    const mask = readMask(shell, height * width);
    const fill = String(blob?.meta.fill) === String(self.fill.get());
    if (fill && mask && same(mask.data, history.mask.data)) adoptScores(blob, state());
  }

  function adoptScores(blob: Packed | null, of: string): void {
    if (!blob) return;
    self.scores = blob.meta as Scores;
    scored = of;
    emit("scores");
  }

  /** Scores will not come by themselves. */
  function nobody(): boolean {
    return kernel.saved || kernel.state.offline !== null || failed;
  }

  /** What is painted, and with what. */
  function state(): string {
    return `${history.id} ${self.fill.get()}`;
  }

  function adoptSweep(sweep: Sweep | null): void {
    if (!sweep) return;
    // Colours stay while a sweep goes on, and when it is seen from another target.
    if (self.sweep && sweep.done < self.sweep.done) self.order = [];
    self.sweep = sweep;
    emit("sweep");
  }

  // -- settings -----------------------------------------------------------------------------------

  function fillChanged(): void {
    const fill = self.fill.get();
    if (!fills.has(String(fill))) kernel.ask("fill", { fill });
    useFill(fill);
  }

  function useFill(fill: Fill): void {
    const known = fills.get(String(fill)) ?? guess(fill);
    if (known) self.hidden = known;
    repaint();
    emit("fill");
  }

  function setTool(tool: Tool): void {
    self.tool = tool;
    emit("tool");
  }

  function setBrush(brush: { brushSize?: number; hardness?: number }): void {
    Object.assign(self, brush);
    emit("tool");
  }

  /** One step larger or smaller: the brush or, with the stamp, the window. */
  function resize(way: 1 | -1): void {
    const grow = (side: number, most: number): number =>
      clamp(side + way * Math.max(1, Math.round(side / 8)), 1, most);
    if (self.tool === "stamp")
      setWindow(
        self.patch.map((side, i) => grow(side, self.size[i] as number)) as [number, number],
      );
    else setBrush({ brushSize: grow(self.brushSize, self.largest) });
  }

  /** Another window; a stride above it would leave pixels that are never hidden. */
  function setWindow(window: Pair): void {
    const stride = pair(self.stride.get());
    self.window.set(single(window));
    if (stride[0] > window[0] || stride[1] > window[1]) {
      self.stride.set(single([Math.min(stride[0], window[0]), Math.min(stride[1], window[1])]));
    }
  }

  /** Show a colour while it is being chosen. */
  function preview(fill: Fill): void {
    self.hidden = guess(fill) ?? self.hidden;
    repaint();
  }

  function setFill(fill: Fill): void {
    self.fill.set(fill);
    ask(false, performance.now());
  }

  /** Null: the class that is predicted for the whole picture. */
  function setTarget(index: number | null): void {
    kernel.ask("target", { index });
  }

  function setScore(score: ScoreKind): void {
    self.score.set(score);
    const { index } = self.target.get();
    if (self.sweep && index !== null) setTarget(index);
  }

  function run(): void {
    const [window, stride] = [pair(self.window.get()), pair(self.stride.get())];
    const args = { window, stride, fill: self.fill.get(), score: self.score.get() };
    kernel.ask("sweep", args, { replace: true });
  }

  /** The pointer, or the keyboard, is on a position of the sweep. */
  function point(place: Place | null): void {
    if (place === self.place) return;
    self.place = place;
    emit("place");
  }
}
