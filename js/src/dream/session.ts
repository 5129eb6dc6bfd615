// What one view knows of the run: how far it is, its film, which frame is looked at. The parts read
// it and listen; it alone asks the kernel for steps.

import type { Packed } from "../lib/codec.ts";
import { setProps } from "../lib/dom.ts";
import { type LayerChoice, layerChoice } from "../lib/layers/layer.ts";
import { clamp } from "../lib/small.ts";
import { createTopics } from "../lib/topics.ts";
import type { Shell, Trait } from "../lib/view.ts";
import { addFrame, mergeFrames, mergeTrace } from "./film.ts";
import {
  type Frame,
  NOTHING,
  type Point,
  type RunState,
  readFilm,
  readFrame,
  readRun,
  readStart,
  readTrace,
  type Start,
} from "./record.ts";

/** run: how far it is; film: frames and trace; cursor: which frame is looked at; wipe; start: what
 * it begins with; lock: whether the kernel can be asked. */
export type Topic = "run" | "film" | "cursor" | "wipe" | "start" | "lock";

export interface Kind {
  /** What is drawn against the steps, in words and as `losses` name it. */
  measure: string;
  /** It falls over decades: its axis is logarithmic. */
  falls?: boolean;
  /** What one size of a run is called; "" where there is only one. */
  part: string;
  /** The layer that ribbon and picker show. */
  layer?: Trait<string>;
}

export type Session = ReturnType<typeof createSession>;

/** What the parts of one view share. */
export function createSession(shell: Shell, kind: Kind) {
  const { channel: kernel, root } = shell;
  const { on, emit } = createTopics<Topic>();
  const standard = layerChoice(shell);
  const layers: LayerChoice = { ...standard, current: kind.layer ?? standard.current };
  const self = {
    shell,
    kind,
    layers,
    run: NOTHING,
    frames: [] as Frame[],
    trace: [] as Point[],
    /** The frame that is looked at; null: the newest. */
    cursor: null as Frame | null,
    /** 0: all before, 100: all after. */
    wipe: 100,
    start: null as Start | null,
    begin,
    on,
    emit,
    play,
    pause,
    toggle: () => (self.state === "running" ? pause() : play()),
    step: () => ask(1, false),
    restart: () => ask(0, true),
    look,
    lookBy,
    setWipe,
    kept,
    /** What is known: a run of which nothing is heard does not run. */
    get state(): RunState {
      const { state } = self.run;
      return state === "running" && !kernel.state.busy ? "paused" : state;
    },
    /** The kernel cannot be asked. */
    get locked(): boolean {
      return kernel.saved || kernel.state.offline !== null;
    },
    /** What the stage shows. */
    get frame(): Frame | null {
      return self.cursor ?? self.frames.at(-1) ?? null;
    },
    /** Place of that frame. */
    get place(): number {
      const { cursor, frames } = self;
      return cursor ? frames.indexOf(cursor) : frames.length - 1;
    },
  };
  return self;

  /** Read the traits and listen; called once all parts listen to the session. */
  function begin(): void {
    shell.trait("_film").on(adopt);
    shell.trait("_start").on(readBeginning);
    kernel.on("run", ({ blob, status }) => {
      if (blob) {
        const run = readRun(blob);
        const frame = readFrame(blob);
        if (run.run !== self.run.run) forget();
        self.run = run;
        self.trace = mergeTrace(self.trace, readTrace(blob), run.step);
        if (frame) self.frames = addFrame(self.frames, frame, self.cursor);
      } else if (status !== "partial" && self.run.state === "running") {
        self.run = { ...self.run, state: self.run.step ? "paused" : "fresh" };
      }
      tell();
    });
    kernel.onStatus(() => {
      emit("lock");
      tell(false);
    });
    readBeginning();
    adopt();
  }

  /** All that hangs on the run; `film` false: its frames are the same. */
  function tell(film = true): void {
    if (film) keepCursor();
    mark();
    emit("run");
    if (film) emit("film");
  }

  function mark(): void {
    setProps(root, {
      "data-run": self.state,
      "data-step": self.run.step,
      "data-shown-step": self.frame?.step ?? 0,
    });
  }

  function readBeginning(): void {
    self.start = shell.packed("_start", readStart);
    emit("start");
  }

  /** Take trait `_film`: the kernel publishes it now and then, and when a run pauses or ends. */
  function adopt(): void {
    const film = shell.packed("_film", readFilm);
    // Traits may arrive behind messages that were sent after them.
    if (film && film.run.run >= self.run.run) {
      if (film.run.run !== self.run.run) forget();
      const late = film.run.state === "running" && film.run.step < self.run.step;
      if (!late) self.run = film.run;
      const { step } = self.run;
      self.trace = mergeTrace(self.trace, film.trace, step);
      self.frames = mergeFrames(self.frames, film.frames, step, self.cursor);
    }
    tell();
  }

  function forget(): void {
    self.frames = [];
    self.trace = [];
    self.cursor = null;
  }

  /** A frame that is gone cannot be looked at. */
  function keepCursor(): void {
    const { cursor, frames } = self;
    if (!cursor) return;
    self.cursor = frames.find(({ step }) => step === cursor.step) ?? null;
  }

  // -- the run --------------------------------------------------------------------------------

  /** Go on; where no step is left, the kernel begins again. */
  function play(): void {
    ask(0, false);
  }

  function ask(steps: number, again: boolean): void {
    if (self.locked) return;
    look(null);
    self.run = { ...self.run, state: "running" };
    kernel.ask("run", { steps, again }, { replace: again });
    tell(false);
  }

  function pause(): void {
    kernel.stop();
  }

  // -- what is looked at ----------------------------------------------------------------------

  /** Look at a frame; null, or the newest one: follow the run. */
  function look(frame: Frame | null): void {
    const next = frame === self.frames.at(-1) ? null : frame;
    if (next === self.cursor) return;
    self.cursor = next;
    mark();
    emit("cursor");
  }

  function lookBy(frames: number): void {
    const to = clamp(self.place + frames, 0, self.frames.length - 1);
    look(self.frames[to] ?? null);
  }

  /** Answers of a lane that came with the notebook or the file. */
  function kept(lane: string): Packed[] {
    return (self.start?.kept ?? []).filter((each) => each.lane === lane).map(({ blob }) => blob);
  }

  function setWipe(value: number): void {
    self.wipe = clamp(value, 0, 100);
    emit("wipe");
  }
}
