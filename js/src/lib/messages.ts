// What crosses between browser and kernel; the rules are in channel.ts.

import type { AnyModel } from "@anywidget/types";
import { type Packed, type pack, unpack } from "./codec.ts";
import { wordsOf } from "./dom.ts";

// biome-ignore lint/suspicious/noExplicitAny: models and arguments are plain JSON of any shape
export type Model = AnyModel<Record<string, any>> & { saved?: boolean; comm_live?: boolean };
export type Args = Record<string, unknown>;
/** "unsaved": a saved page does not hold this answer. */
export type Status = "ok" | "partial" | "error" | "cancelled" | "unsaved";
const STATUSES: readonly unknown[] = ["ok", "partial", "cancelled", "unsaved"];

export interface AskOptions {
  replace?: boolean;
  /** A newer question that waits does not take its place: each of these is asked. */
  keep?: boolean;
  arrays?: Parameters<typeof pack>[1];
}

export interface Reply {
  lane: string;
  status: Status;
  /** Decoded when status is ok or partial and the kernel sent something. */
  blob: Packed | null;
  /** What was asked; null for work that was started from Python. */
  args: Args | null;
  ms: number;
  message: string;
}

export interface Progress {
  lane: string;
  done: number;
  total: number;
  /** Seconds, or null when nobody can say. */
  left: number | null;
}

/** Why nothing can be asked: the comm is gone, or a hello stayed without an answer. */
export type Offline = "gone" | "silent" | null;

export interface State {
  busy: boolean;
  /** There is work that Stop can end. */
  stoppable: boolean;
  /** The long work that runs before what was asked here; "" when it is under way. */
  waits: string;
  offline: Offline;
  /** A saved page: answers come from a table in the file. */
  saved: boolean;
}

export interface Clock {
  set(fn: () => void, ms: number): unknown;
  clear(handle: unknown): void;
}

export interface ChannelOptions {
  signal: AbortSignal;
  clock?: Clock;
  /** Where errors of handlers go. */
  onError?: (error: unknown) => void;
}

/** Silence after which a question is asked again. */
export const WATCHDOG_MS = 2000;
/** Silence after a hello that means the kernel is gone. */
export const HELLO_MS = 4000;
/** So often a question is asked again whose answer cannot be read. */
export const CUT = 2;
/** Work started from Python counts as over after this silence, should its end get lost. */
export const FOREIGN_MS = 30_000;

/** A question that was sent and has no final answer yet. */
export interface Question {
  seq: number;
  args: Args;
  blob: Uint8Array | undefined;
  acked: boolean;
  /** As in `State`. */
  waits: string;
  stopped: boolean;
  /** How many of its answers could not be read. */
  cut: number;
}

/** What a channel knows of one lane. */
export interface Lane {
  seq: number;
  /** Its work has steps and concerns all views; the kernel says so as it takes a question. */
  long: boolean;
  out: Question | null;
  /** At most one, the newest, behind those to keep. */
  waiting: Array<{ args: Args; replace: boolean; keep: boolean; blob: Uint8Array | undefined }>;
  timer: unknown;
}

export const wallClock: Clock = {
  set: (fn, ms) => setTimeout(fn, ms),
  clear: (handle) => clearTimeout(handle as number),
};

/** A message as it came: nothing in it is certain. */
export type Raw = Record<string, unknown>;

export function toReply(lane: string, args: Args | null, msg: Raw, buffers: DataView[]): Reply {
  const { status } = msg;
  const reply: Reply = {
    lane,
    status: STATUSES.includes(status) ? (status as Status) : "error",
    blob: null,
    args,
    ms: Number(msg.ms) || 0,
    message: String(msg.message ?? ""),
  };
  const [buffer] = buffers;
  if (buffer && (status === "ok" || status === "partial")) {
    try {
      reply.blob = unpack(buffer);
    } catch (error) {
      reply.status = "error";
      reply.message = wordsOf(error);
    }
  }
  return reply;
}

/** An id that no other view has. */
export function randomId(): string {
  // Two halves of 32 bits; without randomUUID, which pages over plain http have not.
  return crypto.getRandomValues(new Uint32Array(2)).join("-");
}
