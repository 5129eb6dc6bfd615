import assert from "node:assert/strict";
import { test } from "node:test";
import { createChannel, type Reply } from "../src/lib/channel.ts";
import { pack, unpack } from "../src/lib/codec.ts";
import type { Model } from "../src/lib/messages.ts";
import { type Page, type Respond, StubModel } from "../src/lib/standalone.ts";

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const soon = (): Promise<void> => new Promise((done) => setTimeout(done, 5));

const page: Page = {
  traits: { layer: "conv1", _epoch: "e7" },
  blobs: { _maps: base64(pack({ a: 1 })) },
  replies: [
    { lane: "more", args: { layer: "conv1" }, blob: base64(pack({ layer: "more" })) },
    { lane: "layer", args: { layer: "conv0", image: 0 }, blob: base64(pack({ layer: "conv0" })) },
    { lane: "layer", args: { layer: "conv1", image: 0 }, blob: base64(pack({ layer: "conv1" })) },
  ],
};

function open(respond?: Respond) {
  const model = new StubModel(page, respond);
  const channel = createChannel(model as unknown as Model, {
    signal: new AbortController().signal,
  });
  const replies: Reply[] = [];
  channel.on("*", (reply) => replies.push(reply));
  return { model, channel, replies };
}

test("traits and blobs are there; setting one tells its listeners, once, until they leave", () => {
  const { model } = open();
  assert.deepEqual(unpack(model.get("_maps") as DataView).meta, { a: 1 });
  const heard: unknown[] = [];
  const fn = (): number => heard.push(model.get("layer"));
  model.on("change:layer", fn);
  model.set("layer", "conv2");
  model.set("layer", "conv2");
  model.off("change:layer", fn);
  model.set("layer", "conv3");
  assert.deepEqual(heard, ["conv2"]);
});

test("a saved page answers from its list, whatever else was asked and in whatever order", async () => {
  const { channel, replies } = open();
  assert.equal(channel.state.saved, true);
  channel.ask("layer", { sort: "mean", image: 0, layer: "conv1" });
  assert.equal(replies.length, 0, "no answer before ask() has returned");
  await soon();
  assert.deepEqual(
    replies.map((r) => [r.status, r.blob?.meta.layer]),
    [["ok", "conv1"]],
  );
  assert.deepEqual(channel.state, {
    busy: false,
    stoppable: false,
    waits: "",
    offline: null,
    saved: true,
  });
});

test("what is not in the file is said in plain words; the page stays as it is", async () => {
  const { channel, replies } = open();
  for (const lane of ["toString", "constructor"]) channel.ask(lane, {});
  channel.ask("layer", { layer: "conv1", image: 1 });
  await soon();
  assert.deepEqual(
    replies.map((r) => r.status),
    ["unsaved", "unsaved", "unsaved"],
  );
  assert.match(replies[0]?.message ?? "", /not saved in this file/);
  assert.equal(channel.state.offline, null);
});

test("a scripted kernel gets every message and answers as it likes", async () => {
  const { model, channel, replies } = open(({ type, ...rest }, answer) => {
    if (type !== "ask") return;
    answer({ ...rest, type: "ack" });
    answer({ ...rest, type: "reply", status: "ok", ms: 1, message: "" }, pack({ n: 5 }));
  });
  channel.ask("layer", { layer: "x" });
  await soon();
  assert.equal(channel.state.saved, false);
  assert.equal(replies[0]?.blob?.meta.n, 5);
  assert.deepEqual(
    model.sent.map((m) => m.type),
    ["hello", "ask"],
  );
  channel.ask("layer", { layer: "never" });
  model.receive({ type: "hello", view: channel.view, epoch: "e7" });
  await soon();
});
