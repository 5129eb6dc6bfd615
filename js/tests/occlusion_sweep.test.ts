// What the browser reads from a sweep, against plain loops.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pack, unpack } from "../src/lib/codec.ts";
import { classColour, classPixel } from "../src/occlusion/palette.ts";
import {
  cutoff,
  nearestPositions,
  pair,
  placeAt,
  positions,
  readSweep,
  regions,
  type Sweep,
  single,
} from "../src/occlusion/sweep.ts";
import { lookOf, paintSweep } from "../src/occlusion/sweep_paint.ts";
import { sayFlips, sayPlace, saySweep } from "../src/occlusion/sweep_words.ts";
import { chance } from "./helpers.ts";

/** A sweep over 20 x 30 pixels with windows of 8 x 6 every 4 x 5: 4 x 6 positions. */
function sweep(change: Record<string, unknown> = {}): Sweep {
  const random = chance(4);
  const [ny, nx] = [4, 6];
  const meta = {
    window: [8, 6],
    stride: [4, 5],
    size: [20, 30],
    fill: "mean",
    score: "logit",
    target: { name: "espresso", index: 3 },
    baseline: 1,
    prediction: { index: 3, label: "espresso" },
    labels: { "3": "espresso", "5": "cup", "9": "tray" },
    done: 24,
    total: 24,
    complete: true,
    engine: "incremental",
    note: "",
    seconds: 1.25,
    ...change,
  };
  const scores = Float32Array.from({ length: ny * nx }, () => random());
  const predicted = Int32Array.from({ length: ny * nx }, (_, i) => (i < 5 ? 9 : i < 7 ? 5 : 3));
  const codes = Uint8Array.from({ length: 600 }, () => Math.floor(random() * 255));
  codes[0] = 255;
  return readSweep(
    unpack(
      pack(meta, {
        scores: { shape: [ny, nx], data: scores },
        known: { shape: [ny, nx], data: new Uint8Array(ny * nx).fill(1) },
        predicted: { shape: [ny, nx], data: predicted },
        codes: { shape: [1, 20, 30], data: codes },
        lo: { shape: [1], data: Float32Array.of(-0.5) },
        hi: { shape: [1], data: Float32Array.of(2) },
      }),
    ),
  );
}

test("numbers and pairs of numbers mean the same", () => {
  assert.deepEqual(pair(32), [32, 32]);
  assert.deepEqual(pair([4, 5]), [4, 5]);
  assert.equal(single([7, 7]), 7);
  assert.deepEqual(single([7, 8]), [7, 8]);
});

test("so many positions that the last window reaches or passes the edge", () => {
  for (let side = 1; side < 40; side++) {
    for (let window = 1; window <= side; window++) {
      for (let stride = 1; stride <= window; stride++) {
        let count = 1;
        while ((count - 1) * stride + window < side) count += 1;
        assert.equal(positions(side, window, stride), count);
      }
    }
  }
});

test("each pixel belongs to the window whose middle is nearest", () => {
  for (const [side, window, stride] of [
    [224, 32, 16],
    [20, 8, 4],
    [31, 7, 7],
    [9, 9, 3],
  ] as const) {
    const count = positions(side, window, stride);
    const found = nearestPositions(side, window, stride, count);
    for (let i = 0; i < side; i++) {
      const middle = (n: number) => n * stride + window / 2;
      const off = (n: number) => Math.abs(middle(n) - (i + 0.5));
      const best = Math.min(...Array.from({ length: count }, (_, n) => off(n)));
      assert.equal(off(found[i] ?? -1), best, `${i} of ${side}`);
    }
  }
});

test("a point finds its position, what is hidden there, and what that does", () => {
  const it = sweep();
  const place = placeAt(it, { x: 29.9, y: 19.9 });
  assert.deepEqual([place.row, place.column], [3, 5]);
  assert.deepEqual(place.box, { top: 12, left: 25, bottom: 20, right: 30 });
  assert.equal(place.score, it.scores[23]);
  assert.ok(Math.abs(place.drop - (1 - place.score)) < 1e-6);
  assert.equal(place.predicted, 3);
  assert.ok(Number.isNaN(placeAt(it, { x: 0, y: 0 }).pixel));
  const said = sayPlace(it, placeAt(it, { x: 3, y: 4 }));
  assert.match(said, /^square at \(0, 0\) · espresso 0\.\d+ · drop 0\.\d+ · now tray · /);
  assert.match(sayPlace(it, place), /still espresso/);
});

test("the threshold keeps the largest drops, and no NaN", () => {
  const random = chance(8);
  for (let round = 0; round < 50; round++) {
    const values = Float32Array.from({ length: 40 }, () =>
      random() < 0.1 ? Number.NaN : Math.floor(random() * 12),
    );
    const real = [...values].filter((value) => !Number.isNaN(value)).sort((a, b) => b - a);
    for (const share of [0.01, 0.1, 0.5, 0.99]) {
      const kept = [...values].filter((value) => value >= cutoff(values, share));
      const wanted = Math.max(1, Math.round(share * real.length));
      assert.ok(kept.length >= wanted);
      // Only those that equal the last one that belongs there may be more.
      assert.equal(Math.min(...kept), real[wanted - 1]);
    }
  }
  assert.equal(cutoff([1, 2], 1), Number.NEGATIVE_INFINITY);
  assert.equal(cutoff([Number.NaN], 0.5), Number.POSITIVE_INFINITY);
});

test("the map by position: a colour for each cell, transparent below the threshold", () => {
  const it = sweep();
  const out = new Uint32Array(600);
  paintSweep(out, it, "score", [3, 9, 5], 0.25);
  const drops = [...it.scores].map((score) => -score).sort((a, b) => b - a);
  const least = drops[5] ?? 0;
  const { colours } = lookOf(it, "score");
  for (let y = 0; y < 20; y++) {
    for (let x = 0; x < 30; x++) {
      const { score } = placeAt(it, { x, y });
      const pixel = out[y * 30 + x] ?? 0;
      assert.equal(pixel !== 0, -score >= least);
      if (pixel !== 0) assert.ok(colours.includes(pixel));
    }
  }
  paintSweep(out, it, "class", [3, 9, 5], 1);
  for (let i = 0; i < 600; i++) {
    const { predicted } = placeAt(it, { x: i % 30, y: Math.floor(i / 30) });
    assert.equal(out[i], classPixel([3, 9, 5].indexOf(predicted)));
  }
});

test("the map by pixel: zero is in the middle of the colours; NaN is not painted", () => {
  const it = sweep();
  assert.deepEqual(lookOf(it, "drop").range, [-2, 2]);
  const out = new Uint32Array(600);
  paintSweep(out, it, "drop", [], 1);
  assert.equal(out[0], 0);
  assert.equal(out.filter((pixel) => pixel === 0).length, 1);
  paintSweep(out, it, "drop", [], 0.1);
  const kept = out.filter((pixel) => pixel !== 0).length;
  assert.ok(kept >= 60 && kept < 70, `${kept} of 600`);
});

test("classes keep their colours while a sweep goes on", () => {
  const it = sweep();
  assert.deepEqual(
    regions(it).map(({ index, label, share }) => [index, label, Math.round(share * 24)]),
    [
      [3, "espresso", 17],
      [9, "tray", 5],
      [5, "cup", 2],
    ],
  );
  assert.deepEqual(
    regions(it, [3, 5]).map(({ index }) => index),
    [3, 5, 9],
  );
  assert.equal(regions(it, [3, 7])[1]?.share, 0, "one that is nowhere any more");
  const colours = Array.from({ length: 12 }, (_, place) => classColour(place));
  assert.equal(new Set(colours).size, 11);
  assert.equal(colours[10], colours[11]);
  assert.equal(classPixel(1), 0xff009fe6);
});

test("a sweep in words", () => {
  assert.equal(
    saySweep(sweep(), false),
    "24 places · logit of espresso · window 8 x 6, stride 4 x 5, mean · 1.3 s · incremental",
  );
  assert.match(
    saySweep(sweep({ done: 7, complete: false, fill: [1, 2, 3] }), false),
    /^incomplete: 7 of 24 places · .* rgb\(1,2,3\)/,
  );
  assert.match(saySweep(sweep({ done: 7, complete: false }), true), /^24 places/);
  assert.equal(sayFlips(sweep()), "the answer changes at 7 places (29.2 %)");
});
