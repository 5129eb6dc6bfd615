// A clock that only moves when told, a model whose other end is the test, seeded chance.

import type { Clock, Model } from "../src/lib/messages.ts";

export class FakeClock implements Clock {
  now = 0;
  private next = 1;
  private readonly timers = new Map<number, { at: number; fn: () => void }>();

  set(fn: () => void, ms: number): number {
    const id = this.next++;
    this.timers.set(id, { at: this.now + ms, fn });
    return id;
  }

  clear(handle: unknown): void {
    this.timers.delete(handle as number);
  }

  get pending(): number {
    return this.timers.size;
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(([, { at }]) => at <= end);
      const [first] = due.sort(([i, a], [j, b]) => a.at - b.at || i - j);
      if (!first) break;
      this.timers.delete(first[0]);
      this.now = Math.max(this.now, first[1].at);
      first[1].fn();
    }
    this.now = end;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: messages are read by the tests as they please
export type Message = Record<string, any>;

export class FakeModel {
  sent: Message[] = [];
  blobs: Uint8Array[] = [];
  state: Record<string, unknown> = { _epoch: "e1" };
  dead = false;
  private readonly fns = new Map<string, Array<(...args: unknown[]) => void>>();

  get model(): Model {
    return this as unknown as Model;
  }

  get(name: string): unknown {
    return this.state[name];
  }

  on(event: string, fn: (...args: unknown[]) => void): void {
    this.fns.set(event, [...(this.fns.get(event) ?? []), fn]);
  }

  off(event: string, fn: (...args: unknown[]) => void): void {
    this.fns.set(
      event,
      (this.fns.get(event) ?? []).filter((other) => other !== fn),
    );
  }

  get listeners(): number {
    return [...this.fns.values()].reduce((sum, fns) => sum + fns.length, 0);
  }

  send(content: Message, _callbacks?: unknown, buffers?: Uint8Array[]): void {
    if (this.dead) throw new Error("the comm is closed");
    this.blobs.push(...(buffers ?? []));
    this.sent.push(JSON.parse(JSON.stringify(content)));
  }

  emit(event: string, ...args: unknown[]): void {
    for (const fn of [...(this.fns.get(event) ?? [])]) fn(...args);
  }

  receive(content: unknown, blob?: Uint8Array): void {
    const view = blob && new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    this.emit("msg:custom", content, view ? [view] : []);
  }

  asks(lane?: string): Message[] {
    return this.sent.filter((m) => m.type === "ask" && (lane === undefined || m.lane === lane));
  }
}

/** Seeded numbers in [0, 1) (mulberry32). */
export function chance(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
