// A network that loses, doubles, delays and reorders, and a kernel as docs/base.md describes it,
// under one simulated clock: 1,000 random events for each of many seeds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Channel, createChannel, type Reply } from "../src/lib/channel.ts";
import { pack } from "../src/lib/codec.ts";
import { WATCHDOG_MS } from "../src/lib/messages.ts";
import { chance, FakeClock, FakeModel, type Message } from "./helpers.ts";

const LANES = ["a", "b"];
/** The longest a message travels, and the longest the kernel works. */
const [TRAVEL, WORK] = [300, 400];

class Chaos {
  readonly clock = new FakeClock();
  readonly fake = new FakeModel();
  readonly random: () => number;
  readonly abort = new AbortController();
  readonly channel: Channel;
  readonly shown = new Map<string, Array<{ id: number; status: string }>>();
  readonly newest = new Map<string, number>();
  /** Whether the network misbehaves. */
  wild = true;
  most = 0;
  ids = 0;
  /** Newest seq the kernel has seen in each lane; a newer one cancels the older. */
  private readonly kernelSeq = new Map<string, number>();
  private readonly running = new Set<string>();
  /** Questions the browser has out, as the network sees it: sent and without a final answer. */
  private readonly open = new Map<string, Set<number>>();

  constructor(seed: number) {
    this.random = chance(seed);
    const { fake } = this;
    const record = fake.send.bind(fake);
    fake.send = (content) => {
      record(content);
      this.count(content);
      this.travel(() => this.kernel(JSON.parse(JSON.stringify(content))));
    };
    this.channel = createChannel(fake.model, { signal: this.abort.signal, clock: this.clock });
    this.channel.onStatus(({ offline }) => {
      // Back from offline, the newest question takes the place of one whose fate nobody knows.
      if (offline) this.open.clear();
    });
    for (const lane of LANES) {
      this.shown.set(lane, []);
      this.channel.on(lane, (reply) => this.show(reply));
    }
  }

  /** A message on its way: lost, doubled or late while the network is wild. */
  private travel(arrive: () => void): void {
    const times = this.wild ? [0, 1, 1, 1, 2][Math.floor(this.random() * 5)] : 1;
    for (let i = 0; i < (times ?? 1); i += 1) {
      this.clock.set(arrive, this.wild ? this.random() * TRAVEL : 5);
    }
  }

  private count(content: Message): void {
    if (content.type !== "ask") return;
    const open = this.open.get(content.lane) ?? new Set<number>();
    this.open.set(content.lane, open.add(content.seq));
    this.most = Math.max(this.most, open.size);
  }

  private answer(content: Message, blob?: Uint8Array): void {
    this.travel(() => {
      if (content.type === "reply" && content.status !== "partial") {
        this.open.get(content.lane)?.delete(content.seq);
      }
      this.fake.receive(content, blob);
    });
  }

  private kernel(message: Message): void {
    const { type, view, epoch, seq, lane, args } = message;
    if (type === "hello") this.answer({ type: "hello", view, epoch: "e1" });
    if (type !== "ask") return;
    const base = { view, epoch, seq, lane };
    this.answer({ type: "ack", ...base });
    const key = `${lane} ${seq}`;
    if (seq < (this.kernelSeq.get(lane) ?? 0) || this.running.has(key)) return;
    this.kernelSeq.set(lane, seq);
    this.running.add(key);
    const blob = pack({ id: args.id });
    const reply = { type: "reply", ...base, ms: 1, message: "" };
    if (this.random() < 0.3) this.answer({ ...reply, status: "partial" }, blob);
    if (this.random() < 0.3) {
      this.answer({ type: "progress", ...base, done: 1, total: 2, left: 0.1 });
    }
    this.clock.set(() => {
      this.running.delete(key);
      if (this.random() < 0.1) this.answer({ ...reply, status: "error", message: "no" });
      else this.answer({ ...reply, status: "ok" }, blob);
      this.noise(reply, blob);
    }, this.random() * WORK);
  }

  /** Replies that are not for this view or not of this time. */
  private noise(reply: Message, blob: Uint8Array): void {
    const pick = this.random();
    const wrong = pack({ id: -1 });
    if (pick < 0.1) this.answer({ ...reply, status: "ok", epoch: "e0" }, wrong);
    else if (pick < 0.2) this.answer({ ...reply, status: "ok", view: "other" }, wrong);
    else if (pick < 0.3) this.answer({ ...reply, status: "partial" }, blob);
    else if (pick < 0.4) this.answer({ ...reply, status: "ok", seq: reply.seq - 1 }, wrong);
  }

  private show({ lane, status, args, blob }: Reply): void {
    const id = Number(args?.id);
    if (blob) assert.equal(blob.meta.id, id, "the reply belongs to its question");
    const before = this.shown.get(lane) ?? [];
    const last = before.at(-1);
    if (last) {
      assert.ok(id >= last.id, `${lane}: ${id} shown after ${last.id}`);
      const over = last.status !== "partial";
      assert.ok(!(over && id === last.id), `${lane}: ${id} shown again after its end`);
    }
    before.push({ id, status });
  }

  ask(): void {
    const lane = LANES[Math.floor(this.random() * LANES.length)] as string;
    this.ids += 1;
    this.newest.set(lane, this.ids);
    this.channel.ask(lane, { id: this.ids });
  }

  settled(lane: string): boolean {
    const last = this.shown.get(lane)?.at(-1);
    return last?.id === this.newest.get(lane) && last?.status !== "partial";
  }
}

for (let seed = 1; seed <= 20; seed += 1) {
  test(`seed ${seed}: 1,000 events in a bad network`, () => {
    const chaos = new Chaos(seed);
    for (let event = 0; event < 1000; event += 1) {
      if (chaos.random() < 0.5) chaos.ask();
      chaos.clock.advance(chaos.random() * 200);
    }
    // However bad, questions of a lane were never out two at a time (a lost answer counts as out
    // until the question is asked again, so a second one may follow only after an answer came).
    assert.equal(chaos.most, 1);
    const results = LANES.flatMap((lane) => chaos.shown.get(lane) ?? []);
    assert.ok(results.length > 100, `only ${results.length} replies shown`);
    assert.ok(results.some((r) => r.status === "partial"));
    assert.ok(results.some((r) => r.status === "error"));

    // The network is well again: what was lost is noticed within 2 s.
    chaos.ask();
    chaos.wild = false;
    chaos.clock.advance(TRAVEL + WORK);
    const from = chaos.clock.now;
    while (!LANES.every((lane) => chaos.settled(lane))) {
      chaos.clock.advance(1);
      // Two questions in a row are the most that is left: the lost one and the newest.
      assert.ok(chaos.clock.now - from <= WATCHDOG_MS + 2 * (WORK + 20), "did not recover");
    }
    assert.equal(chaos.channel.state.offline, null);
    assert.equal(chaos.channel.state.busy, false);
    chaos.abort.abort();
  });
}

test("one lost answer in a good network: shown 2 s after it was lost", () => {
  const chaos = new Chaos(99);
  chaos.wild = false;
  chaos.clock.advance(50);
  chaos.ask();
  const lost = chaos.fake.receive.bind(chaos.fake);
  chaos.fake.receive = () => {};
  chaos.clock.advance(WORK + 50);
  chaos.fake.receive = lost;
  chaos.clock.advance(WATCHDOG_MS);
  assert.ok(LANES.some((lane) => chaos.shown.get(lane)?.length));
});
