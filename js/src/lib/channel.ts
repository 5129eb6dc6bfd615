// Questions to the kernel and its answers, as docs/base.md "Messages" says.
//
// One question per lane is out at a time; of those asked meanwhile only the newest is kept. Silence
// for 2 s: the same question again. Only the reply to the question that is out is handed on, so an
// old reply, a doubled one, one of another epoch or view is never seen.

import { isRecord, pack } from "./codec.ts";
import {
  type Args,
  type AskOptions,
  type ChannelOptions,
  type Clock,
  CUT,
  FOREIGN_MS,
  HELLO_MS,
  type Lane,
  type Model,
  type Offline,
  type Progress,
  type Question,
  type Raw,
  type Reply,
  randomId,
  type State,
  toReply,
  WATCHDOG_MS,
  wallClock,
} from "./messages.ts";

const TYPES: readonly unknown[] = ["hello", "ack", "progress", "reply"];

export type { Args, Model, Progress, Reply, State } from "./messages.ts";

export class Channel {
  readonly view = randomId();
  readonly saved: boolean;
  readonly #model: Model;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  readonly #lanes = new Map<string, Lane>();
  readonly #replyFns = new Map<string, Array<(reply: Reply) => void>>();
  readonly #progressFns: Array<(progress: Progress) => void> = [];
  readonly #stateFns: Array<(state: State) => void> = [];
  readonly #foreign = new Map<string, { timer: unknown; waits: string }>();
  #epoch: string;
  #offline: Offline = null;
  #helloTimer: unknown = null;
  #closed = false;
  #last = "";

  constructor(
    model: Model,
    { signal, clock = wallClock, onError = console.error }: ChannelOptions,
  ) {
    this.#model = model;
    this.#clock = clock;
    this.#onError = onError;
    this.saved = model.saved === true;
    this.#epoch = String(model.get("_epoch") ?? "");
    const receive = (msg: unknown, buffers?: DataView[]): void => this.#receive(msg, buffers ?? []);
    const renew = (): void => this.#renew(String(model.get("_epoch") ?? ""));
    model.on("msg:custom", receive);
    model.on("change:_epoch", renew);
    const close = (): void => {
      if (this.#closed) return;
      this.#closed = true;
      model.off("msg:custom", receive);
      model.off("change:_epoch", renew);
      for (const lane of this.#lanes.values()) this.#clock.clear(lane.timer);
      for (const { timer } of this.#foreign.values()) this.#clock.clear(timer);
      this.#clock.clear(this.#helloTimer);
    };
    if (signal.aborted) close();
    else signal.addEventListener("abort", close, { once: true });
    this.#hello();
  }

  /** Ask, or remember as the lane's newest question until the one that is out is answered.
   * `replace` sends it as soon as the kernel has the running one, which the kernel then cancels:
   * for long work that a new setting makes worthless. `keep` has it asked whatever comes after it:
   * for what must not be missed, such as the end of a stroke. `arrays` are arguments that are no JSON.
   * Offline, it is asked when the kernel is back. */
  ask(lane: string, args: Args = {}, options: AskOptions = {}): void {
    if (this.#closed) return;
    const { replace = false, keep = false, arrays } = options;
    const it = this.#lane(lane);
    if (!it.waiting.at(-1)?.keep) it.waiting.pop();
    it.waiting.push({ args, replace, keep, blob: arrays && pack({}, arrays) });
    this.#advance(lane, it);
    this.#tell();
  }

  /** Hear the replies of a lane ("*": of all). */
  on(lane: string, fn: (reply: Reply) => void): void {
    this.#replyFns.set(lane, [...(this.#replyFns.get(lane) ?? []), fn]);
  }

  onProgress(fn: (progress: Progress) => void): void {
    this.#progressFns.push(fn);
  }

  /** Hear changes of the state; called at once with the present one. */
  onStatus(fn: (state: State) => void): void {
    this.#stateFns.push(fn);
    this.#guard(() => fn(this.state));
  }

  get state(): State {
    const { saved } = this;
    const offline = this.#offline;
    const lanes = offline ? [] : [...this.#lanes.values()].filter((it) => it.out);
    const foreign = offline ? [] : [...this.#foreign.values()];
    const work = [...lanes.map((it) => it.out), ...foreign];
    const waits = work.find((each) => each?.waits)?.waits ?? "";
    const stoppable = foreign.length > 0 || lanes.some((it) => it.long);
    return { busy: work.length > 0, stoppable, waits, offline, saved };
  }

  /** Whether a question of this lane is on its way or waits. */
  pending(lane: string): boolean {
    const it = this.#lanes.get(lane);
    return it !== undefined && (it.out !== null || it.waiting.length > 0);
  }

  /** End the widget's long work, whoever asked for it, and forget what waits for its end. */
  stop(): void {
    const { stoppable } = this.state;
    for (const it of this.#lanes.values()) {
      if (!it.long) continue;
      it.waiting = [];
      if (it.out) it.out.stopped = true;
    }
    if (stoppable) this.#send({ type: "stop", view: this.view, epoch: this.#epoch });
    this.#tell();
  }

  /** What the page knows of the connection: true when it shows the widget as disconnected. */
  disconnected(gone: boolean): void {
    if (gone) this.#goOffline("gone");
    else if (this.#offline === "gone") {
      this.#goOffline(null);
      this.#hello();
    }
  }

  /** The page had news of the connection but not which: gone, unless the kernel answers now. */
  doubt(): void {
    this.#send({ type: "hello", view: this.view });
    this.#goOffline("gone");
  }

  #lane(name: string): Lane {
    let it = this.#lanes.get(name);
    if (!it) {
      it = { seq: 0, long: false, out: null, waiting: [], timer: null };
      this.#lanes.set(name, it);
    }
    return it;
  }

  /** Send the waiting question if the lane allows it now. */
  #advance(name: string, it: Lane): void {
    const { out } = it;
    const waiting = it.waiting[0];
    if (!waiting || this.#offline) return;
    if (out && !(out.acked && (waiting.replace || out.stopped))) return;
    it.seq += 1;
    const { args, blob } = waiting;
    it.out = { seq: it.seq, args, blob, acked: false, waits: "", stopped: false, cut: 0 };
    it.waiting.shift();
    this.#post(name, it);
  }

  /** Send the question that is out, once more or for the first time. */
  #post(name: string, it: Lane): void {
    if (!it.out || this.#offline) return;
    const { seq, args, blob } = it.out;
    const { view } = this;
    this.#watch(name, it);
    this.#send({ type: "ask", view, epoch: this.#epoch, seq, lane: name, args }, blob);
  }

  #watch(name: string, it: Lane): void {
    this.#clock.clear(it.timer);
    it.timer = this.#clock.set(() => {
      if (!it.out || this.#offline) return;
      if (it.out.stopped) {
        this.#finish(name, it, { status: "cancelled" });
      } else {
        this.#post(name, it);
        this.#hello();
      }
    }, WATCHDOG_MS);
  }

  #send(content: Raw, blob?: Uint8Array): void {
    if (this.#offline || this.#closed) return;
    try {
      this.#model.send(content, undefined, blob && [blob]);
    } catch {
      this.#goOffline("gone"); // the comm throws once it is closed
    }
  }

  /** Say hello; once more at half time, because the first one of a young comm may get lost. */
  #hello(): void {
    if (this.#helloTimer !== null || this.#offline || this.#closed) return;
    const greet = (then: () => void): void => {
      this.#helloTimer = this.#clock.set(then, HELLO_MS / 2);
      this.#send({ type: "hello", view: this.view });
    };
    greet(() => greet(() => this.#goOffline("silent")));
  }

  #goOffline(offline: Offline): void {
    if (this.#offline === offline || this.#closed) return;
    this.#offline = offline;
    this.#clock.clear(this.#helloTimer);
    this.#helloTimer = null;
    if (offline) for (const it of this.#lanes.values()) this.#clock.clear(it.timer);
    else this.#resume();
    this.#tell();
  }

  /** Ask again what was out; a newer question that waits takes its place. */
  #resume(): void {
    for (const [name, it] of this.#lanes) {
      if (it.waiting.length > 0 || it.out?.stopped) it.out = null;
      if (it.out) this.#post(name, it);
      else this.#advance(name, it);
    }
  }

  /** The kernel made this widget anew: what was asked of the old one will never be answered. */
  #renew(epoch: string): void {
    if (epoch === this.#epoch || epoch === "") return;
    this.#epoch = epoch;
    this.#resume();
    this.#tell();
  }

  #receive(content: unknown, buffers: DataView[]): void {
    if (this.#closed || !isRecord(content)) return;
    const msg: Raw = content;
    const { type, view, epoch, lane, seq } = msg;
    if (!TYPES.includes(type)) return;
    this.#clock.clear(this.#helloTimer);
    this.#helloTimer = null;
    this.#goOffline(null);
    const mine = view === this.view;
    if (!mine && view !== "" && msg.all !== true) return;
    if (type === "hello") {
      this.#renew(String(epoch ?? ""));
      return;
    }
    if (epoch !== this.#epoch || typeof lane !== "string") return;
    if (msg.status === "partial") {
      this.#send({ type: "seen", view: this.view, epoch: this.#epoch, lane });
    }
    if (!mine) {
      this.#receiveForeign(lane, msg, buffers);
      return;
    }
    const it = this.#lanes.get(lane);
    if (!it?.out || it.out.seq !== seq) return;
    it.out.acked = true;
    it.out.waits = waitsOf(msg);
    it.long = msg.all === true;
    this.#watch(lane, it);
    if (type === "progress") this.#emitProgress(lane, msg);
    else if (type === "reply") this.#finish(lane, it, msg, buffers);
    this.#advance(lane, it);
    this.#tell();
  }

  /** Long work that was started from Python or another view, and concerns all views. */
  #receiveForeign(lane: string, msg: Raw, buffers: DataView[]): void {
    const { type } = msg;
    this.#clock.clear(this.#foreign.get(lane)?.timer);
    this.#foreign.delete(lane);
    const over = type === "reply" && msg.status !== "partial";
    if (!over) {
      const end = (): void => {
        this.#foreign.delete(lane);
        this.#tell();
      };
      this.#foreign.set(lane, { timer: this.#clock.set(end, FOREIGN_MS), waits: waitsOf(msg) });
    }
    if (type === "progress") this.#emitProgress(lane, msg);
    if (type === "reply") this.#emit(toReply(lane, null, msg, buffers));
    this.#tell();
  }

  #finish(name: string, it: Lane, msg: Raw, buffers: DataView[] = []): void {
    const reply = toReply(name, it.out?.args ?? null, msg, buffers);
    if (it.out && msg.status !== reply.status && this.#cut(name, it, it.out, msg)) return;
    if (reply.status !== "partial") {
      it.out = null;
      this.#clock.clear(it.timer);
    }
    this.#emit(reply);
    this.#advance(name, it);
    this.#tell();
  }

  /** Whether an answer that cannot be read is no matter: a part of one, or one to be had again. */
  #cut(name: string, it: Lane, out: Question, { status }: Raw): boolean {
    if (status === "partial") return true;
    if (status !== "ok" || out.cut >= CUT) return false;
    out.cut += 1;
    console.warn(`An answer of lane ${name} came cut short: asked again.`);
    this.#post(name, it);
    return true;
  }

  #emit(reply: Reply): void {
    for (const key of ["*", reply.lane]) {
      for (const fn of this.#replyFns.get(key) ?? []) this.#guard(() => fn(reply));
    }
  }

  #emitProgress(lane: string, msg: Raw): void {
    const [done, total] = [Number(msg.done), Number(msg.total)];
    const left = typeof msg.left === "number" ? msg.left : null;
    if (!(done >= 0 && total > 0)) return;
    for (const fn of this.#progressFns) this.#guard(() => fn({ lane, done, total, left }));
  }

  /** Tell listeners when the state differs from what they last heard. */
  #tell(): void {
    const { state } = this;
    const key = JSON.stringify(state);
    if (key === this.#last || this.#closed) return;
    this.#last = key;
    for (const fn of this.#stateFns) this.#guard(() => fn(state));
  }

  #guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.#onError(error);
    }
  }
}

/** What the work waits for, by the kernel's newest word: whatever is no ack says that it began. */
function waitsOf({ type, waits }: Raw): string {
  return type === "ack" && typeof waits === "string" ? waits : "";
}
