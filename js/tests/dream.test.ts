// DeepDream, StyleTransfer, Maximize: the film and its bytes, traces, sliders, mixes, decoding.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addFrame,
  MOST,
  mergeFrames,
  mergeTrace,
  nearestFrame,
  slots,
  thin,
} from "../src/dream/film.ts";
import { commonRange } from "../src/dream/gram.ts";
import { createNewest } from "../src/dream/newest.ts";
import {
  cut,
  type Frame,
  type Point,
  readFilm,
  readFrame,
  readRun,
  readStart,
  readTrace,
} from "../src/dream/record.ts";
import { PLACES, placeOf, valueAt } from "../src/dream/scale.ts";
import { heights } from "../src/dream/sparkline.ts";
import { worthy } from "../src/dream/thumbs.ts";
import { firstOf, type Weights } from "../src/dream/weights.ts";
import { sayStep, sayTrace } from "../src/dream/words.ts";
import { pack, unpack } from "../src/lib/codec.ts";
import type { LayerRow } from "../src/lib/layers/layer.ts";
import { chance } from "./helpers.ts";

const bytes = (...values: number[]) => ({ shape: [values.length], data: Uint8Array.from(values) });
const frame = (step: number, octave = 1): Frame => ({ step, octave, jpeg: Uint8Array.of(step) });
const steps = (frames: readonly Frame[]) => frames.map(({ step }) => step);
const blobOf = (...args: Parameters<typeof pack>) => unpack(pack(...args));

const META = { state: "paused", run: 3, step: 7, steps: 40, octave: 2, octaves: 4 };

test("a film is taken apart where its rows say", () => {
  const rows = [
    { step: 1, octave: 1, bytes: 2 },
    { step: 4, octave: 2, bytes: 3 },
  ];
  const film = readFilm(
    blobOf(
      { ...META, trace: [[1, 2.5]], frames: rows },
      { jpegs: bytes(1, 2, 3, 4, 5), last: bytes(9) },
    ),
  );
  assert.deepEqual(steps(film.frames), [1, 4, 7]);
  assert.deepEqual(
    film.frames.map(({ jpeg }) => [...jpeg]),
    [[1, 2], [3, 4, 5], [9]],
  );
  assert.deepEqual(film.trace, [[1, 2.5]]);
  assert.equal(film.run.state, "paused");
  assert.equal(film.run.octaves, 4);
});

test("the present picture takes the place of its own small copy", () => {
  const rows = [{ step: 7, octave: 2, bytes: 1 }];
  const film = readFilm(blobOf({ ...META, frames: rows }, { jpegs: bytes(1), last: bytes(2, 3) }));
  assert.deepEqual(film.frames.length, 1);
  assert.deepEqual([...(film.frames[0]?.jpeg ?? [])], [2, 3]);
});

test("a film that was cut short is no film", () => {
  const rows = [{ step: 1, octave: 1, bytes: 5 }];
  assert.throws(() => readFilm(blobOf({ ...META, frames: rows }, { jpegs: bytes(1, 2) })), /early/);
});

test("what is no run reads as one that has not begun, or is paused", () => {
  assert.equal(readRun(blobOf({})).state, "fresh");
  assert.equal(readRun(blobOf({ state: "flying" })).state, "paused");
  assert.equal(readRun(blobOf({ step: null, steps: "12" })).steps, 0);
  assert.equal(readFrame(blobOf(META)), null);
  assert.deepEqual(readTrace(blobOf({ trace: [[1, 2], [2, null], [3], "x", [4, 5]] })), [
    [1, 2],
    [4, 5],
  ]);
});

test("a beginning with styles and a guide", () => {
  const start = readStart(
    blobOf(
      { name: "cat", height: 3, width: 4, styles: ["brick", "waves"], guide: "flower" },
      { jpeg: bytes(1), style_0: bytes(2), style_1: bytes(3), guide: bytes(4) },
    ),
  );
  assert.deepEqual(
    start.styles.map(({ name, jpeg }) => [name, ...(jpeg ?? [])]),
    [
      ["brick", 2],
      ["waves", 3],
    ],
  );
  assert.deepEqual([...(start.guide?.jpeg ?? [])], [4]);
  assert.deepEqual(readStart(blobOf({ name: "x" })).guide, null);
  assert.deepEqual(start.kept, []);
});

test("answers that came with a notebook are read wherever they begin", () => {
  const gram = (layer: string) =>
    pack({ layer }, { lo: { shape: [2], data: Float32Array.of(0.5, 2) } });
  const two = [gram("conv1"), gram("a layer of another length")];
  const joined = Uint8Array.from(two.flatMap((each) => [...new Uint8Array(each)]));
  const kept = two.map((each) => ({ lane: "gram", bytes: each.byteLength }));
  const odd = { jpeg: bytes(1, 2, 3) };
  const start = readStart(
    blobOf({ name: "x", kept }, { ...odd, kept: { shape: [joined.length], data: joined } }),
  );
  assert.deepEqual(
    start.kept.map(({ lane, blob }) => [lane, blob.meta.layer, blob.arrays.lo?.shape[0]]),
    [
      ["gram", "conv1", 2],
      ["gram", "a layer of another length", 2],
    ],
  );
});

test("several pictures are told apart by their offsets", () => {
  const offsets = { shape: [3], data: Int32Array.of(0, 2, 5) };
  const parts = cut(blobOf({}, { jpegs: bytes(1, 2, 3, 4, 5), offsets }));
  assert.deepEqual(
    parts.map((part) => [...part]),
    [
      [1, 2],
      [3, 4, 5],
    ],
  );
});

test("a growing film stays even, keeps its ends and what is looked at", () => {
  const random = chance(7);
  let frames: Frame[] = [];
  let step = 0;
  let keep: Frame | null = null;
  let first = 0;
  for (let i = 0; i < 400; i++) {
    step += 1 + Math.floor(random() * 3);
    frames = addFrame(frames, frame(step), keep);
    first ||= step;
    if (i === 10) keep = frames[4] as Frame;
    assert.ok(frames.length <= MOST);
    assert.equal(frames.at(-1)?.step, step);
    assert.ok(!keep || frames.includes(keep));
  }
  const gaps = frames.slice(1).map((each, i) => each.step - (frames[i] as Frame).step);
  assert.equal(frames[0]?.step, first);
  assert.ok(Math.max(...gaps) < (4 * step) / MOST, `${gaps}`);
});

test("frames of a plan that was left are dropped", () => {
  const frames = [1, 5, 9].map((step) => frame(step));
  assert.deepEqual(steps(addFrame(frames, frame(6), null)), [1, 5, 6]);
  assert.deepEqual(steps(addFrame(frames, frame(5), null)), [1, 5]);
});

test("thinning two frames leaves them", () => {
  assert.deepEqual(steps(thin([frame(1), frame(2)], 1)), [1, 2]);
});

test("the kernel's film and the larger frames that are here already", () => {
  const own = [frame(2), frame(6), frame(30)];
  const small = [2, 4, 8].map((step) => ({ ...frame(step), jpeg: new Uint8Array() }));
  const merged = mergeFrames(own, small, 8);
  assert.deepEqual(steps(merged), [2, 4, 6, 8]);
  assert.equal(merged[0], own[0]);
  // One that was published on the way, behind what has come since.
  assert.deepEqual(steps(mergeFrames(own, small, 30)), [2, 4, 6, 8, 30]);
});

test("traces: doubled points count once, the last word counts, nothing is later than now", () => {
  const old: Point[] = [
    [1, 1],
    [2, 2],
    [3, 3],
  ];
  const more: Point[] = [
    [3, 33],
    [4, 4],
  ];
  assert.deepEqual(mergeTrace(old, more, 4), [
    [1, 1],
    [2, 2],
    [3, 33],
    [4, 4],
  ]);
  assert.deepEqual(mergeTrace(old, [], 2), [
    [1, 1],
    [2, 2],
  ]);
  const many: Point[] = Array.from({ length: 9000 }, (_, i) => [i, i]);
  const kept = mergeTrace([], many, 1e9);
  assert.ok(kept.length < 5000);
  assert.deepEqual(kept.at(-1), [8999, 8999]);
});

test("places along the film: as far as the run has come, each with the nearest frame", () => {
  const frames = [frame(1), frame(10), frame(20)];
  const found = slots(frames, 40, 8).map((each) => each?.step ?? null);
  assert.deepEqual(found, [1, 10, 10, 20, null, null, null, null]);
  assert.deepEqual(slots([], 40, 2), [null, null]);
  assert.equal(nearestFrame(frames, 14), 1);
  assert.equal(nearestFrame(frames, 99), 2);
});

test("log sliders: every place there and back, ends, zero, and typed values", () => {
  for (const scale of [
    { lo: 0.001, hi: 0.1 },
    { lo: 0.001, hi: 1000, zero: true },
  ]) {
    let before = -1;
    for (let place = 0; place <= PLACES; place++) {
      const value = valueAt(scale, place);
      assert.ok(value > before, `${place}: ${value}`);
      assert.equal(placeOf(scale, value), place);
      before = value;
    }
  }
  assert.equal(valueAt({ lo: 0.001, hi: 0.1 }, 0), 0.001);
  assert.equal(valueAt({ lo: 0.001, hi: 0.1 }, PLACES), 0.1);
  assert.equal(valueAt({ lo: 0.001, hi: 0.1 }, 50), 0.01);
  assert.equal(valueAt({ lo: 0.01, hi: 1, zero: true }, 0), 0);
  assert.equal(valueAt({ lo: 0.01, hi: 1, zero: true }, 1), 0.01);
  assert.equal(placeOf({ lo: 0.01, hi: 1, zero: true }, 0), 0);
  assert.equal(placeOf({ lo: 0.01, hi: 1 }, 50), PLACES);
});

function traitOf(value: Weights) {
  return {
    get: () => value,
    set: (next: Weights) => {
      value = next;
    },
    on: () => {},
  };
}

test("another layer takes the place and the weight of the first of a mix", () => {
  const mix = traitOf({ conv1: 0.5, conv2: -1 });
  const layer = firstOf(mix);
  assert.equal(layer.get(), "conv1");
  layer.set("conv5");
  assert.deepEqual(Object.entries(mix.get()), [
    ["conv5", 0.5],
    ["conv2", -1],
  ]);
  layer.set("conv2");
  assert.deepEqual(Object.entries(mix.get()), [["conv2", 0.5]]);
});

/** Work whose end the test decides. */
function deferred() {
  const ends: Array<{ input: number; resolve(): void; reject(): void }> = [];
  const work = (input: number): Promise<number> =>
    new Promise((resolve, reject) => {
      ends.push({ input, resolve: () => resolve(input), reject: () => reject(new Error("no")) });
    });
  return { ends, work };
}

const settle = () => new Promise((resolve) => setTimeout(resolve));

test("decodes: one at a time, of those that wait the newest, in their order", async () => {
  const { ends, work } = deferred();
  const used: number[] = [];
  const abort = new AbortController();
  const use = (output: number) => void used.push(output);
  const newest = createNewest({ work, use, drop: () => {}, failed: () => {} }, abort.signal);
  for (const input of [1, 2, 3, 4]) newest.put(input);
  assert.deepEqual(
    ends.map(({ input }) => input),
    [1],
  );
  ends[0]?.resolve();
  await settle();
  assert.deepEqual(
    ends.map(({ input }) => input),
    [1, 4],
  );
  newest.put(5);
  ends[1]?.resolve();
  await settle();
  ends[2]?.resolve();
  await settle();
  assert.deepEqual(used, [1, 4, 5]);
});

test("decodes: one that fails does not hold the next; none is used after the end", async () => {
  const { ends, work } = deferred();
  const used: number[] = [];
  const dropped: number[] = [];
  let failures = 0;
  const abort = new AbortController();
  const newest = createNewest(
    {
      work,
      use: (output) => void used.push(output),
      drop: (output) => void dropped.push(output),
      failed: () => {
        failures++;
      },
    },
    abort.signal,
  );
  newest.put(1);
  newest.put(2);
  ends[0]?.reject();
  await settle();
  ends[1]?.resolve();
  await settle();
  newest.put(3);
  abort.abort();
  ends[2]?.resolve();
  await settle();
  assert.deepEqual([used, dropped, failures], [[2], [3], 1]);
});

test("the line of a loss is logarithmic, that of an objective is not", () => {
  const trace: Point[] = [
    [1, 100],
    [2, 10],
    [3, 1],
  ];
  const [, log = 0] = heights(trace, true);
  assert.ok(Math.abs(log - 0.5) < 1e-9);
  assert.ok(Math.abs((heights(trace, false)[1] ?? 0) - 9 / 99) < 1e-9);
  assert.deepEqual(heights([[1, 5]], false), [0.5]);
  // A logarithm of 0 or less is none.
  assert.deepEqual(
    heights(
      [
        [1, -1],
        [2, 1],
      ],
      true,
    ),
    [0, 1],
  );
});

test("one range for both Gram matrices", () => {
  assert.deepEqual(commonRange([0.5, 0], [2, 4]), [0, 4]);
  assert.deepEqual(commonRange([-3, 0], [2, 1]), [-3, 3]);
});

test("in words", () => {
  const run = readRun(blobOf(META));
  assert.equal(sayStep(run, "octave"), "step 7 of 40 · octave 2 of 4");
  assert.equal(sayStep(run, "", 3), "step 3 of 40");
  assert.equal(sayTrace("loss", []), "loss: no step yet");
  assert.equal(sayTrace("loss", [[1, 2]]), "loss: 2 at step 1");
  const both: Point[] = [
    [1, 2],
    [9, 0.5],
  ];
  assert.equal(sayTrace("loss", both), "loss from 2 at step 1 to 0.500 at step 9");
});

test("layers worth a picture: after activations, evenly, never more than asked for", () => {
  const row = (name: string, kind: string, shape = [8, 4, 4]) =>
    ({ name, label: name, kind, leaf: true, shape }) as unknown as LayerRow;
  const rows = Array.from({ length: 100 }, (_, i) => row(`l${i}`, i % 2 ? "act" : "conv"));
  const found = worthy([...rows, row("fc", "linear", [10])]);
  assert.equal(found.length, 24);
  assert.deepEqual([found[0], found.at(-1)], ["l1", "l99"]);
  assert.equal(new Set(found).size, 24);
  assert.deepEqual(worthy([row("a", "conv"), row("b", "act"), row("gap", "pool", [8, 1, 1])]), [
    "a",
    "b",
  ]);
});
