import assert from "node:assert/strict";
import { test } from "node:test";
import { createChannel, type Progress, type Reply } from "../src/lib/channel.ts";
import { pack, unpack } from "../src/lib/codec.ts";
import { HELLO_MS, WATCHDOG_MS } from "../src/lib/messages.ts";
import { FakeClock, FakeModel, type Message } from "./helpers.ts";

function setUp() {
  const clock = new FakeClock();
  const fake = new FakeModel();
  const abort = new AbortController();
  const errors: unknown[] = [];
  const channel = createChannel(fake.model, {
    signal: abort.signal,
    clock,
    onError: (error) => errors.push(error),
  });
  const replies: Reply[] = [];
  channel.on("*", (reply) => replies.push(reply));
  const about = (ask: Message): Message => ({
    view: ask.view,
    epoch: ask.epoch,
    seq: ask.seq,
    lane: ask.lane,
  });
  const kernel = {
    hello: () => fake.receive({ type: "hello", view: channel.view, epoch: "e1" }),
    ack: (ask: Message) => fake.receive({ type: "ack", ...about(ask) }),
    /** Takes a question whose work is long: all views hear of it, and any may stop it. */
    begin: (ask: Message) => fake.receive({ type: "ack", ...about(ask), all: true }),
    progress: (ask: Message, over: Message = {}) =>
      fake.receive({ type: "progress", ...about(ask), done: 1, total: 4, left: null, ...over }),
    reply: (ask: Message, status = "ok", over: Message = {}) =>
      fake.receive(
        { type: "reply", ...about(ask), status, ms: 5, message: "", ...over },
        status === "ok" || status === "partial" ? pack({ seq: ask.seq }) : undefined,
      ),
  };
  const asked = (lane = "a"): Message => fake.asks(lane).at(-1) as Message;
  return { clock, fake, abort, channel, replies, kernel, asked, errors };
}

test("says hello, asks with view, epoch, seq and lane, hands on the answer", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  assert.deepEqual(fake.sent, [{ type: "hello", view: channel.view }]);
  kernel.hello();
  channel.ask("a", { layer: "conv1" });
  assert.deepEqual(asked(), {
    type: "ask",
    view: channel.view,
    epoch: "e1",
    seq: 1,
    lane: "a",
    args: { layer: "conv1" },
  });
  assert.equal(channel.state.busy, true);
  kernel.ack(asked());
  kernel.reply(asked());
  assert.equal(channel.state.busy, false);
  assert.deepEqual(replies, [
    {
      lane: "a",
      status: "ok",
      blob: { meta: { seq: 1 }, arrays: {} },
      args: { layer: "conv1" },
      ms: 5,
      message: "",
    },
  ]);
});

test("one question per lane is out; only the newest of the others is kept; lanes are apart", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  for (let i = 0; i < 50; i += 1) channel.ask("a", { i });
  channel.ask("b", { i: "b" });
  assert.equal(fake.asks("a").length, 1);
  assert.equal(fake.asks("b").length, 1);
  kernel.ack(asked());
  assert.equal(fake.asks("a").length, 1);
  kernel.reply(asked());
  assert.deepEqual(
    fake.asks("a").map((m) => m.args.i),
    [0, 49],
  );
  kernel.reply(asked());
  assert.deepEqual(
    replies.map((r) => r.args?.i),
    [0, 49],
  );
});

test("keep: what comes after it does not take its place, and of that only the newest waits", () => {
  const { channel, fake, kernel, asked } = setUp();
  channel.ask("a", { i: 0 });
  channel.ask("a", { i: 1 });
  channel.ask("a", { i: 2 }, { keep: true });
  for (let i = 3; i < 9; i += 1) channel.ask("a", { i });
  channel.ask("a", { i: 9 }, { keep: true });
  channel.ask("a", { i: 10 });
  channel.ask("a", { i: 11 });
  for (let i = 0; i < 6; i += 1) kernel.reply(asked());
  assert.deepEqual(
    fake.asks("a").map((m) => m.args.i),
    [0, 2, 9, 11],
  );
  assert.equal(channel.pending("a"), false);
});

test("replace: sent once the kernel has the running one, whose late replies are not shown", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 0 });
  const first = asked();
  channel.ask("a", { i: 1 }, { replace: true });
  assert.equal(fake.asks().length, 1);
  kernel.ack(first);
  assert.equal(fake.asks().length, 2);
  kernel.reply(first, "partial");
  kernel.reply(first, "cancelled");
  assert.equal(replies.length, 0);
  kernel.reply(asked());
  assert.deepEqual(
    replies.map((r) => r.args?.i),
    [1],
  );
});

test("silence for 2 s: the same question, the same seq; any sign of life starts the 2 s anew", () => {
  const { channel, clock, fake, kernel, asked } = setUp();
  channel.ask("a", { i: 1 });
  kernel.hello();
  clock.advance(WATCHDOG_MS - 1);
  assert.equal(fake.asks().length, 1);
  kernel.ack(asked());
  clock.advance(WATCHDOG_MS - 1);
  kernel.progress(asked());
  clock.advance(WATCHDOG_MS - 1);
  kernel.reply(asked(), "partial");
  clock.advance(WATCHDOG_MS - 1);
  assert.equal(fake.asks().length, 1);
  clock.advance(1);
  assert.equal(fake.asks().length, 2);
  assert.deepEqual(fake.asks()[1], fake.asks()[0]);
});

test("a lost answer comes after the 2 s, and a question asked meanwhile after it", () => {
  const { channel, clock, fake, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 1 });
  kernel.ack(asked());
  channel.ask("a", { i: 2 });
  clock.advance(WATCHDOG_MS);
  kernel.ack(asked());
  kernel.reply(asked());
  kernel.reply(asked());
  assert.deepEqual(
    replies.map((r) => r.args?.i),
    [1, 2],
  );
  clock.advance(60_000);
  assert.equal(fake.asks().length, 3);
});

test("doubled, old, foreign and malformed messages are never shown", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 1 });
  const first = asked();
  kernel.reply(first, "ok", { epoch: "e0" });
  kernel.reply(first, "ok", { view: "somebody else" });
  kernel.reply(first, "ok", { lane: "b" });
  kernel.reply(first, "ok", { lane: "__proto__" });
  kernel.reply(first, "ok", { seq: 2 });
  kernel.reply(first, "ok", { seq: "1" });
  for (const junk of [null, 7, "ask", [], {}, { type: "reply" }, { type: "toString" }]) {
    fake.receive(junk);
  }
  assert.equal(replies.length, 0);
  kernel.reply(first);
  kernel.reply(first);
  kernel.reply(first, "partial");
  assert.equal(replies.length, 1);
  channel.ask("a", { i: 2 });
  kernel.reply(first);
  assert.equal(replies.length, 1);
  kernel.reply(asked());
  assert.deepEqual(
    replies.map((r) => r.args?.i),
    [1, 2],
  );
});

test("partials come in turn, then the end; progress goes to its listeners", () => {
  const { channel, kernel, replies, asked } = setUp();
  const seen: Progress[] = [];
  channel.onProgress((progress) => seen.push(progress));
  channel.ask("a");
  kernel.progress(asked(), { done: 1, total: 4, left: 3.5 });
  kernel.progress(asked(), { done: "x" });
  kernel.progress(asked(), { total: 0 });
  kernel.reply(asked(), "partial");
  assert.equal(channel.state.busy, true);
  kernel.reply(asked(), "ok");
  assert.deepEqual(
    replies.map((r) => r.status),
    ["partial", "ok"],
  );
  assert.deepEqual(seen, [{ lane: "a", done: 1, total: 4, left: 3.5 }]);
});

test("errors are replies; an unknown status is one", () => {
  const { channel, kernel, replies, asked } = setUp();
  channel.ask("a");
  kernel.reply(asked(), "error", { message: "no layer 'x'" });
  channel.ask("a");
  kernel.reply(asked(), "splendid");
  assert.deepEqual(
    replies.map((r) => [r.status, r.blob]),
    [
      ["error", null],
      ["error", null],
    ],
  );
  assert.equal(replies[0]?.message, "no layer 'x'");
  assert.equal(channel.state.busy, false);
});

/** An answer of which only the first byte arrives. */
function cutShort(fake: FakeModel, ask: Message, status = "ok", all = false): void {
  const { view, epoch, seq, lane } = ask;
  fake.receive({ type: "reply", view, epoch, seq, lane, status, all, ms: 1 }, Uint8Array.of(1));
}

test("an answer that cannot be read is asked for again, with the same seq, and may come whole", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 1 });
  kernel.ack(asked());
  channel.ask("a", { i: 2 });
  cutShort(fake, asked());
  assert.deepEqual(fake.asks()[1], fake.asks()[0]);
  assert.equal(channel.state.busy, true);
  assert.equal(replies.length, 0);
  kernel.reply(asked());
  kernel.reply(asked());
  assert.deepEqual(
    replies.map((r) => [r.status, r.args?.i]),
    [
      ["ok", 1],
      ["ok", 2],
    ],
  );
  assert.equal(channel.state.busy, false);
});

test("asked again twice; what then still cannot be read is an error, and the lane goes on", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 1 });
  for (let i = 0; i < 3; i += 1) cutShort(fake, asked());
  assert.equal(fake.asks().length, 3);
  assert.deepEqual(
    replies.map((r) => r.status),
    ["error"],
  );
  assert.match(replies[0]?.message ?? "", /cannot be read/);
  assert.equal(channel.state.busy, false);
  channel.ask("a", { i: 2 });
  cutShort(fake, asked());
  kernel.reply(asked());
  assert.equal(replies[1]?.status, "ok");
});

test("a part of an answer that cannot be read is left out: the next one holds more", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("a");
  for (let i = 0; i < 9; i += 1) cutShort(fake, asked(), "partial");
  kernel.reply(asked(), "partial");
  kernel.reply(asked());
  assert.equal(fake.asks().length, 1);
  assert.deepEqual(
    replies.map((r) => r.status),
    ["partial", "ok"],
  );
});

test("while it waits for an answer again, a view stops and goes offline as ever", () => {
  const { channel, clock, fake, kernel, replies, asked } = setUp();
  channel.ask("a");
  kernel.begin(asked());
  cutShort(fake, asked(), "ok", true);
  channel.stop();
  clock.advance(WATCHDOG_MS);
  assert.deepEqual(
    replies.map((r) => r.status),
    ["cancelled"],
  );
  channel.ask("a");
  fake.dead = true;
  cutShort(fake, asked());
  assert.equal(channel.state.offline, "gone");
});

test("a listener that throws is reported and harms nobody else", () => {
  const { channel, kernel, replies, asked, errors } = setUp();
  channel.on("a", () => {
    throw new Error("boom");
  });
  const after: Reply[] = [];
  channel.on("a", (reply) => after.push(reply));
  channel.ask("a");
  channel.ask("a");
  kernel.reply(asked());
  kernel.reply(asked());
  assert.equal(errors.length, 2);
  assert.equal(replies.length, 2);
  assert.equal(after.length, 2);
});

test("stop: told to the kernel once, what waits is forgotten, a lost 'cancelled' is made up", () => {
  const { channel, clock, fake, kernel, replies, asked } = setUp();
  kernel.hello();
  channel.stop();
  assert.equal(fake.sent.filter((m) => m.type === "stop").length, 0);
  channel.ask("a", { i: 1 });
  channel.ask("a", { i: 2 });
  kernel.begin(asked());
  channel.stop();
  const stops = fake.sent.filter((m) => m.type === "stop");
  assert.deepEqual(stops, [{ type: "stop", view: channel.view, epoch: "e1" }]);
  clock.advance(WATCHDOG_MS);
  assert.deepEqual(
    replies.map((r) => r.status),
    ["cancelled"],
  );
  assert.equal(fake.asks().length, 1);
  assert.equal(channel.state.busy, false);
});

test("stop leaves quick questions alone", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("sweep");
  channel.ask("quick");
  kernel.begin(asked("sweep"));
  kernel.ack(asked("quick"));
  channel.stop();
  kernel.reply(asked("quick"));
  assert.equal(channel.state.stoppable, true, "until the kernel says so");
  kernel.reply(asked("sweep"), "cancelled", { all: true });
  assert.deepEqual(
    replies.map((r) => [r.lane, r.status]),
    [
      ["quick", "ok"],
      ["sweep", "cancelled"],
    ],
  );
  channel.ask("quick");
  kernel.ack(asked("quick"));
  assert.deepEqual([channel.state.busy, channel.state.stoppable], [true, false]);
  const before = fake.sent.length;
  channel.stop();
  assert.equal(fake.sent.length, before);
});

test("long work of another view is heard, shown as busy, and partials are told to be seen", () => {
  const { channel, fake, replies } = setUp();
  const base = { view: "other", epoch: "e1", seq: 7, lane: "sweep", all: true };
  fake.receive({ type: "ack", ...base });
  assert.deepEqual([channel.state.busy, channel.state.stoppable], [true, true]);
  fake.receive(
    { type: "reply", ...base, status: "partial", ms: 0, message: "" },
    pack({ part: 1 }),
  );
  assert.deepEqual(fake.sent.at(-1), {
    type: "seen",
    view: channel.view,
    epoch: "e1",
    lane: "sweep",
  });
  fake.receive({ type: "reply", ...base, status: "ok", ms: 9, message: "" }, pack({ part: 2 }));
  assert.equal(channel.state.busy, false);
  assert.deepEqual(
    replies.map((r) => [r.status, r.args, r.blob?.meta.part]),
    [
      ["partial", null, 1],
      ["ok", null, 2],
    ],
  );
  fake.receive({ type: "reply", ...base, all: false, status: "ok", ms: 9, message: "" });
  assert.equal(replies.length, 2, "other views' quick answers are theirs");
});

test("arrays go along in a blob, also when the question is asked again", () => {
  const { channel, clock, fake, kernel, asked } = setUp();
  kernel.hello();
  const mask = { shape: [2, 2], data: new Uint8Array([1, 2, 3, 255]) };
  channel.ask("paint", { size: 3 }, { arrays: { mask } });
  clock.advance(WATCHDOG_MS);
  assert.equal(fake.asks("paint").length, 2);
  assert.deepEqual(asked("paint").args, { size: 3 });
  for (const blob of fake.blobs) {
    assert.deepEqual([...(unpack(blob).arrays.mask?.data ?? [])], [1, 2, 3, 255]);
  }
  assert.equal(fake.blobs.length, 2);
});

test("a question after stop is sent at once", () => {
  const { channel, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 1 });
  const first = asked();
  kernel.begin(first);
  channel.stop();
  channel.ask("a", { i: 2 });
  assert.equal(asked().args.i, 2);
  kernel.reply(first, "cancelled");
  kernel.reply(asked());
  assert.deepEqual(
    replies.map((r) => [r.args?.i, r.status]),
    [[2, "ok"]],
  );
});

test("hello: again at half time, offline after 4 s, back at any word; then the question goes out", () => {
  const { channel, clock, fake, kernel, asked } = setUp();
  const states: string[] = [];
  channel.onStatus(({ busy, offline }) => states.push(`${busy} ${offline}`));
  clock.advance(HELLO_MS - 1);
  assert.equal(fake.sent.filter((m) => m.type === "hello").length, 2);
  assert.equal(channel.state.offline, null);
  clock.advance(1);
  assert.equal(channel.state.offline, "silent");
  const before = fake.sent.length;
  channel.ask("a", { i: 1 });
  channel.ask("a", { i: 2 });
  channel.stop();
  channel.ask("a", { i: 3 });
  clock.advance(60_000);
  assert.equal(fake.sent.length, before, "offline, nothing is sent");
  fake.receive({ type: "ack", view: "another view", epoch: "e9", seq: 1, lane: "z" });
  assert.equal(channel.state.offline, null);
  assert.deepEqual(asked().args, { i: 3 });
  kernel.reply(asked());
  assert.deepEqual(states, ["false null", "false silent", "true null", "false null"]);
});

test("a kernel that dies in the middle is noticed, and the question asked again on its return", () => {
  const { channel, clock, fake, kernel, replies, asked } = setUp();
  kernel.hello();
  clock.advance(100_000);
  channel.ask("a", { i: 1 });
  kernel.ack(asked());
  clock.advance(WATCHDOG_MS + HELLO_MS);
  assert.equal(channel.state.offline, "silent");
  const count = fake.asks().length;
  kernel.hello();
  assert.equal(fake.asks().length, count + 1);
  kernel.reply(asked());
  assert.equal(replies.length, 1);
});

test("disconnected by the page or by a comm that throws: gone, and nothing is sent", () => {
  const { channel, clock, fake, kernel, asked } = setUp();
  kernel.hello();
  channel.disconnected(true);
  assert.equal(channel.state.offline, "gone");
  const before = fake.sent.length;
  channel.ask("a");
  clock.advance(60_000);
  assert.equal(fake.sent.length, before);
  channel.disconnected(false);
  assert.equal(channel.state.offline, null);
  assert.equal(fake.asks().length, 1);
  kernel.reply(asked());
  fake.dead = true;
  channel.ask("a");
  assert.equal(channel.state.offline, "gone");
});

test("news of the connection that does not say which: gone until the kernel answers", () => {
  const { channel, fake, kernel, asked } = setUp();
  kernel.hello();
  const greetings = () => fake.sent.filter((m) => m.type === "hello").length;
  const before = greetings();
  channel.doubt();
  assert.equal(channel.state.offline, "gone");
  assert.equal(greetings(), before + 1);
  channel.ask("a");
  assert.equal(fake.asks().length, 0);
  kernel.hello();
  assert.equal(channel.state.offline, null);
  kernel.reply(asked());
});

test("a new epoch: the open question is asked anew, the old epoch's answer is not shown", () => {
  const { channel, fake, kernel, replies, asked } = setUp();
  channel.ask("a", { i: 1 });
  const old = asked();
  fake.state._epoch = "e2";
  fake.emit("change:_epoch");
  assert.equal(asked().epoch, "e2");
  kernel.reply(old);
  assert.equal(replies.length, 0);
  kernel.reply(asked());
  assert.equal(replies.length, 1);
});

test("work started from Python shows as busy for all, its progress and its end are heard", () => {
  const { channel, clock, fake, replies } = setUp();
  const heard: Progress[] = [];
  channel.onProgress((progress) => heard.push(progress));
  const base = { view: "", epoch: "e1", seq: 99, lane: "" };
  const progress = { type: "progress", ...base, done: 1, total: 2, left: null };
  fake.receive(progress);
  assert.deepEqual([channel.state.busy, channel.state.stoppable], [true, true]);
  channel.stop();
  assert.equal(fake.sent.at(-1)?.type, "stop", "any view may end it");
  fake.receive({ type: "reply", ...base, status: "ok", ms: 3, message: "" });
  assert.equal(channel.state.busy, false);
  assert.deepEqual(
    replies.map((r) => [r.lane, r.status, r.args, r.blob]),
    [["", "ok", null, null]],
  );
  fake.receive(progress);
  clock.advance(120_000);
  assert.equal(channel.state.busy, false, "an end that was lost does not leave it busy for ever");
  fake.receive({ ...progress, epoch: "e0" });
  assert.equal(heard.length, 2);
});

test("closing: no listener and no timer stay, nothing is sent later", () => {
  const { abort, channel, clock, fake, kernel, replies, asked } = setUp();
  channel.ask("a");
  const open = asked();
  kernel.begin(open);
  abort.abort();
  assert.equal(fake.sent.at(-1)?.type, "ask", "long work is also for other views");
  assert.equal(fake.listeners, 0);
  assert.equal(clock.pending, 0);
  const before = fake.sent.length;
  channel.ask("a");
  channel.stop();
  channel.disconnected(false);
  kernel.reply(open);
  clock.advance(60_000);
  assert.equal(fake.sent.length, before);
  assert.equal(replies.length, 0);
});

test("two views of one model are independent", () => {
  const { abort, channel, clock, fake, kernel, replies, asked } = setUp();
  const second = createChannel(fake.model, { signal: new AbortController().signal, clock });
  const others: Reply[] = [];
  second.on("a", (reply) => others.push(reply));
  assert.notEqual(channel.view, second.view);
  channel.ask("a", { i: 1 });
  const mine = asked();
  second.ask("a", { i: 2 });
  const theirs = asked();
  kernel.reply(theirs);
  assert.deepEqual([replies.length, others.length], [0, 1]);
  kernel.reply(mine);
  assert.deepEqual([replies.length, others.length], [1, 1]);
  abort.abort();
  second.ask("a", { i: 3 });
  kernel.reply(asked());
  assert.equal(others.length, 2);
});

test("work that waits for other work says so until its first sign of life", () => {
  const { channel, kernel, fake, asked } = setUp();
  const told: string[] = [];
  channel.onStatus(({ waits }) => told.push(waits));
  kernel.hello();
  const wait = (waits: unknown) => {
    const { view, epoch, seq, lane } = asked();
    fake.receive({ type: "ack", view, epoch, seq, lane, all: true, waits });
    return channel.state.waits;
  };
  channel.ask("a");
  assert.equal(channel.state.waits, "");
  assert.equal(wait("Occlusion (sweep)"), "Occlusion (sweep)");
  assert.deepEqual([channel.state.busy, channel.state.stoppable], [true, true]);
  kernel.progress(asked());
  assert.equal(channel.state.waits, "");
  assert.equal(channel.state.busy, true);
  assert.equal(wait("Occlusion (sweep)"), "Occlusion (sweep)");
  kernel.reply(asked(), "partial");
  assert.equal(channel.state.waits, "");
  // Asked again after a silence: by now it runs.
  assert.equal(wait("Occlusion (sweep)"), "Occlusion (sweep)");
  assert.equal(wait(""), "");
  for (const nonsense of [undefined, null, 7, {}, ["x"]]) assert.equal(wait(nonsense), "");
  assert.equal(wait("Occlusion (sweep)"), "Occlusion (sweep)");
  channel.disconnected(true);
  assert.equal(channel.state.waits, "");
  channel.disconnected(false);
  wait("Occlusion (sweep)");
  kernel.reply(asked());
  assert.deepEqual([channel.state.busy, channel.state.waits], [false, ""]);
  assert.ok(told.includes("Occlusion (sweep)"));
  assert.equal(told.at(-1), "");
});

test("what another view has asked for and waits is told of here too", () => {
  const { channel, kernel, fake } = setUp();
  kernel.hello();
  const other = { view: "other", epoch: "e1", seq: 3, lane: "sweep", all: true };
  fake.receive({ type: "ack", ...other, waits: "Attribution (attribute)" });
  assert.equal(channel.state.waits, "Attribution (attribute)");
  fake.receive({ type: "progress", ...other, done: 1, total: 2, left: null });
  assert.deepEqual([channel.state.busy, channel.state.waits], [true, ""]);
});
