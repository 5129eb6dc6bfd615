// The mask and what it was before: fifty steps back, and forward again.

import type { Mask } from "./brush.ts";

const KEPT = 50;

/** What was painted at one time; `id` is as unlike that of any other as the paintings are. */
interface Step {
  data: Uint8Array;
  id: number;
}

export type History = ReturnType<typeof createHistory>;

/** An empty mask of this size, without a past. */
export function createHistory(height: number, width: number) {
  const mask: Mask = { data: new Uint8Array(height * width), width, height };
  let past: Step[] = [];
  let future: Step[] = [];
  let ids = 0;
  let id = 0;
  /** What a stroke that is under way began on. */
  let base: Step | null = null;

  const self = {
    mask,
    begin,
    touched,
    restore,
    commit,
    put,
    start,
    undo: () => travel(past, future),
    redo: () => travel(future, past),
    /** Names what the mask holds now: undo brings the name back with the picture. */
    get id(): number {
      return id;
    },
    get canUndo(): boolean {
      return past.length > 0;
    },
    get canRedo(): boolean {
      return future.length > 0;
    },
  };
  return self;

  /** Whatever comes until `commit` is one step. */
  function begin(): void {
    base ??= { data: mask.data.slice(), id };
  }

  /** The mask was painted on. */
  function touched(): void {
    id = ++ids;
  }

  /** The mask as the stroke found it; the stroke goes on. */
  function restore(): void {
    if (!base) return;
    mask.data.set(base.data);
    id = base.id;
  }

  /** The stroke is over. False: it has changed nothing, and is no step. */
  function commit(): boolean {
    const before = base;
    base = null;
    if (!before) return false;
    if (same(before.data, mask.data)) {
      id = before.id;
      return false;
    }
    past = [...past.slice(1 - KEPT), before];
    future = [];
    return true;
  }

  /** Another mask in one step. False: it is the same. */
  function put(data: Uint8Array): boolean {
    commit();
    begin();
    mask.data.set(data);
    touched();
    return commit();
  }

  /** The mask that a view begins with: no step. */
  function start(data: Uint8Array): void {
    mask.data.set(data);
    touched();
  }

  function travel(from: Step[], to: Step[]): boolean {
    commit();
    const step = from.pop();
    if (!step) return false;
    to.push({ data: mask.data.slice(), id });
    mask.data.set(step.data);
    id = step.id;
    return true;
  }
}

/** Whether two masks hide the same. */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((value, i) => value === b[i]);
}
