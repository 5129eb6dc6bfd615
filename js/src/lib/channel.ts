// Questions to the kernel and its answers, as docs/base.md "Messages" says.
//
// One question per lane is out at a time; of those asked meanwhile only the newest is kept. Silence
// for 2 s: the same question again. Only the reply to the question that is out is handed on, so an
// old reply, a doubled one, one of another epoch or view is never seen.

import { isRecord, pack } from "./codec.ts";
import { atEnd } from "./dom.ts";
import {
  type Args,
  type AskOptions,
  type ChannelOptions,
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

export type Channel = ReturnType<typeof createChannel>;

export function createChannel(
  model: Model,
  { signal, clock = wallClock, onError = console.error }: ChannelOptions,
) {
  const view = randomId();
  const saved = model.saved === true;
  const lanes = new Map<string, Lane>();
  const replyFns = new Map<string, Array<(reply: Reply) => void>>();
  const progressFns: Array<(progress: Progress) => void> = [];
  const stateFns: Array<(state: State) => void> = [];
  /** Long work that others have asked for, by lane. */
  const foreign = new Map<string, { timer: unknown; waits: string }>();
  let era = epochOf(model);
  let offline: Offline = null;
  let helloTimer: unknown = null;
  let closed = false;
  let last = "";

  const renewed = (): void => renew(epochOf(model));
  model.on("msg:custom", receive);
  model.on("change:_epoch", renewed);
  if (signal.aborted) close();
  else atEnd(signal, close);
  hello();
  return {
    view,
    saved,
    ask,
    on,
    onProgress,
    onStatus,
    pending,
    stop,
    disconnected,
    doubt,
    get state(): State {
      return state();
    },
  };

  function close(): void {
    if (closed) return;
    closed = true;
    model.off("msg:custom", receive);
    model.off("change:_epoch", renewed);
    for (const it of lanes.values()) clock.clear(it.timer);
    for (const { timer } of foreign.values()) clock.clear(timer);
    clock.clear(helloTimer);
  }

  /** Ask, or remember as the lane's newest question until the one that is out is answered.
   * `replace` sends it as soon as the kernel has the running one, which the kernel then cancels:
   * for long work that a new setting makes worthless. `keep` has it asked whatever comes after it:
   * for what must not be missed, such as the end of a stroke. `arrays` are arguments that are no JSON.
   * Offline, it is asked when the kernel is back. */
  function ask(lane: string, args: Args = {}, options: AskOptions = {}): void {
    if (closed) return;
    const { replace = false, keep = false, arrays } = options;
    const it = laneOf(lane);
    if (!it.waiting.at(-1)?.keep) it.waiting.pop();
    it.waiting.push({ args, replace, keep, blob: arrays && pack({}, arrays) });
    advance(lane, it);
    tell();
  }

  /** Hear the replies of a lane ("*": of all). */
  function on(lane: string, fn: (reply: Reply) => void): void {
    replyFns.set(lane, [...(replyFns.get(lane) ?? []), fn]);
  }

  function onProgress(fn: (progress: Progress) => void): void {
    progressFns.push(fn);
  }

  /** Hear changes of the state; called at once with the present one. */
  function onStatus(fn: (state: State) => void): void {
    stateFns.push(fn);
    guard(() => fn(state()));
  }

  function state(): State {
    const own = offline ? [] : [...lanes.values()].filter((it) => it.out);
    const others = offline ? [] : [...foreign.values()];
    const work = [...own.map((it) => it.out), ...others];
    const waits = work.find((each) => each?.waits)?.waits ?? "";
    const stoppable = others.length > 0 || own.some((it) => it.long);
    return { busy: work.length > 0, stoppable, waits, offline, saved };
  }

  /** Whether a question of this lane is on its way or waits. */
  function pending(lane: string): boolean {
    const it = lanes.get(lane);
    return it !== undefined && (it.out !== null || it.waiting.length > 0);
  }

  /** End the widget's long work, whoever asked for it, and forget what waits for its end. */
  function stop(): void {
    const { stoppable } = state();
    for (const it of lanes.values()) {
      if (!it.long) continue;
      it.waiting = [];
      if (it.out) it.out.stopped = true;
    }
    if (stoppable) send({ type: "stop", view, epoch: era });
    tell();
  }

  /** What the page knows of the connection: true when it shows the widget as disconnected. */
  function disconnected(gone: boolean): void {
    if (gone) goOffline("gone");
    else if (offline === "gone") {
      goOffline(null);
      hello();
    }
  }

  /** The page had news of the connection but not which: gone, unless the kernel answers now. */
  function doubt(): void {
    send({ type: "hello", view });
    goOffline("gone");
  }

  function laneOf(name: string): Lane {
    let it = lanes.get(name);
    if (!it) {
      it = { seq: 0, long: false, out: null, waiting: [], timer: null };
      lanes.set(name, it);
    }
    return it;
  }

  /** Send the waiting question if the lane allows it now. */
  function advance(name: string, it: Lane): void {
    const { out } = it;
    const waiting = it.waiting[0];
    if (!waiting || offline) return;
    if (out && !(out.acked && (waiting.replace || out.stopped))) return;
    it.seq += 1;
    const { args, blob } = waiting;
    it.out = { seq: it.seq, args, blob, acked: false, waits: "", stopped: false, cut: 0 };
    it.waiting.shift();
    post(name, it);
  }

  /** Send the question that is out, once more or for the first time. */
  function post(name: string, it: Lane): void {
    if (!it.out || offline) return;
    const { seq, args, blob } = it.out;
    watch(name, it);
    send({ type: "ask", view, epoch: era, seq, lane: name, args }, blob);
  }

  function watch(name: string, it: Lane): void {
    clock.clear(it.timer);
    it.timer = clock.set(() => {
      if (!it.out || offline) return;
      if (it.out.stopped) {
        finish(name, it, { status: "cancelled" });
      } else {
        post(name, it);
        hello();
      }
    }, WATCHDOG_MS);
  }

  function send(content: Raw, blob?: Uint8Array): void {
    if (offline || closed) return;
    try {
      model.send(content, undefined, blob && [blob]);
    } catch {
      goOffline("gone"); // the comm throws once it is closed
    }
  }

  /** Say hello; once more at half time, because the first one of a young comm may get lost. */
  function hello(): void {
    if (helloTimer !== null || offline || closed) return;
    const greet = (then: () => void): void => {
      helloTimer = clock.set(then, HELLO_MS / 2);
      send({ type: "hello", view });
    };
    greet(() => greet(() => goOffline("silent")));
  }

  function goOffline(why: Offline): void {
    if (offline === why || closed) return;
    offline = why;
    clock.clear(helloTimer);
    helloTimer = null;
    if (offline) for (const it of lanes.values()) clock.clear(it.timer);
    else resume();
    tell();
  }

  /** Ask again what was out; a newer question that waits takes its place. */
  function resume(): void {
    for (const [name, it] of lanes) {
      if (it.waiting.length > 0 || it.out?.stopped) it.out = null;
      if (it.out) post(name, it);
      else advance(name, it);
    }
  }

  /** The kernel made this widget anew: what was asked of the old one will never be answered. */
  function renew(epoch: string): void {
    if (epoch === era || epoch === "") return;
    era = epoch;
    resume();
    tell();
  }

  function receive(content: unknown, buffers: DataView[] = []): void {
    if (closed || !isRecord(content)) return;
    const msg: Raw = content;
    const { type, epoch, lane, seq } = msg;
    if (!TYPES.includes(type)) return;
    clock.clear(helloTimer);
    helloTimer = null;
    goOffline(null);
    const mine = msg.view === view;
    if (!mine && msg.view !== "" && msg.all !== true) return;
    if (type === "hello") {
      renew(String(epoch ?? ""));
      return;
    }
    if (epoch !== era || typeof lane !== "string") return;
    if (msg.status === "partial") {
      send({ type: "seen", view, epoch: era, lane });
    }
    if (!mine) {
      receiveForeign(lane, msg, buffers);
      return;
    }
    const it = lanes.get(lane);
    if (!it?.out || it.out.seq !== seq) return;
    it.out.acked = true;
    it.out.waits = waitsOf(msg);
    it.long = msg.all === true;
    watch(lane, it);
    if (type === "progress") emitProgress(lane, msg);
    else if (type === "reply") finish(lane, it, msg, buffers);
    advance(lane, it);
    tell();
  }

  /** Long work that was started from Python or another view, and concerns all views. */
  function receiveForeign(lane: string, msg: Raw, buffers: DataView[]): void {
    const { type } = msg;
    clock.clear(foreign.get(lane)?.timer);
    foreign.delete(lane);
    const over = type === "reply" && msg.status !== "partial";
    if (!over) {
      const end = (): void => {
        foreign.delete(lane);
        tell();
      };
      foreign.set(lane, { timer: clock.set(end, FOREIGN_MS), waits: waitsOf(msg) });
    }
    if (type === "progress") emitProgress(lane, msg);
    if (type === "reply") emit(toReply(lane, null, msg, buffers));
    tell();
  }

  function finish(name: string, it: Lane, msg: Raw, buffers: DataView[] = []): void {
    const reply = toReply(name, it.out?.args ?? null, msg, buffers);
    if (it.out && msg.status !== reply.status && cut(name, it, it.out, msg)) return;
    if (reply.status !== "partial") {
      it.out = null;
      clock.clear(it.timer);
    }
    emit(reply);
    advance(name, it);
    tell();
  }

  /** Whether an answer that cannot be read is no matter: a part of one, or one to be had again. */
  function cut(name: string, it: Lane, out: Question, { status }: Raw): boolean {
    if (status === "partial") return true;
    if (status !== "ok" || out.cut >= CUT) return false;
    out.cut += 1;
    console.warn(`An answer of lane ${name} came cut short: asked again.`);
    post(name, it);
    return true;
  }

  function emit(reply: Reply): void {
    for (const key of ["*", reply.lane]) {
      for (const fn of replyFns.get(key) ?? []) guard(() => fn(reply));
    }
  }

  function emitProgress(lane: string, msg: Raw): void {
    const [done, total] = [Number(msg.done), Number(msg.total)];
    const left = typeof msg.left === "number" ? msg.left : null;
    if (!(done >= 0 && total > 0)) return;
    for (const fn of progressFns) guard(() => fn({ lane, done, total, left }));
  }

  /** Tell listeners when the state differs from what they last heard. */
  function tell(): void {
    const now = state();
    const key = JSON.stringify(now);
    if (key === last || closed) return;
    last = key;
    for (const fn of stateFns) guard(() => fn(now));
  }

  function guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      onError(error);
    }
  }
}

/** The epoch of the widget that the model has now. */
function epochOf(model: Model): string {
  return String(model.get("_epoch") ?? "");
}

/** What the work waits for, by the kernel's newest word: whatever is no ack says that it began. */
function waitsOf({ type, waits }: Raw): string {
  return type === "ack" && typeof waits === "string" ? waits : "";
}
