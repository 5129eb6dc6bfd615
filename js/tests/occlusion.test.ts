// The arithmetic of the Occlusion widget, each part against a slow and simple one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { findClass, suggestions } from "../src/lib/classes.ts";
import type { Box } from "../src/lib/picture.ts";
import { blend, fromHex, guess, toHex } from "../src/occlusion/blend.ts";
import {
  around,
  centred,
  clip,
  cover,
  crop,
  type Dab,
  type Mask,
  paintBox,
  paintStroke,
  spanned,
} from "../src/occlusion/brush.ts";
import { createHistory } from "../src/occlusion/history.ts";
import { type Scores, spoken, verdict } from "../src/occlusion/verdict.ts";
import { chance } from "./helpers.ts";

function blank(height: number, width: number, value = 0): Mask {
  return { data: new Uint8Array(height * width).fill(value), height, width };
}

/** Distance from a pixel's centre to the nearest of many points between two dabs. */
function slowCover(x: number, y: number, a: Dab, b: Dab, hardness: number): number {
  let [best, radius] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i <= 4000; i++) {
    const t = i / 4000;
    const distance = Math.hypot(
      x + 0.5 - (a.x + t * (b.x - a.x)),
      y + 0.5 - (a.y + t * (b.y - a.y)),
    );
    if (distance < best) [best, radius] = [distance, a.radius + t * (b.radius - a.radius)];
  }
  return Math.round(255 * cover(best, radius, hardness));
}

test("a stroke hides what lies near its line, as a slow search of the nearest point says", () => {
  const random = chance(7);
  for (const hardness of [1, 0.7, 0]) {
    for (let round = 0; round < 6; round++) {
      const dab = (): Dab => ({
        x: random() * 40 - 6,
        y: random() * 34 - 6,
        radius: 0.5 + random() * 8,
      });
      const [a, b] = [dab(), round === 0 ? null : dab()];
      const mask = blank(22, 28);
      const box = paintStroke(mask, a, b ?? a, { hardness, erase: false });
      for (let y = 0; y < 22; y++) {
        for (let x = 0; x < 28; x++) {
          const [got, want] = [mask.data[y * 28 + x] ?? 0, slowCover(x, y, a, b ?? a, hardness)];
          assert.ok(Math.abs(got - want) <= 1, `(${y}, ${x}): ${got}, not ${want}`);
          const inside = box && y >= box.top && y < box.bottom && x >= box.left && x < box.right;
          if (got > 0) assert.ok(inside, "what changed is within the box");
        }
      }
    }
  }
});

test("the edge of a brush: hard within a pixel, soft from the middle on", () => {
  assert.equal(cover(0, 8, 1), 1);
  assert.equal(cover(7.5, 8, 1), 1);
  assert.equal(cover(8, 8, 1), 0.5);
  assert.equal(cover(8.5, 8, 1), 0);
  assert.ok(cover(4, 8, 0) > 0.3 && cover(4, 8, 0) < 0.7);
  let last = 1;
  for (let distance = 0; distance < 10; distance += 0.1) {
    const now = cover(distance, 8, 0);
    assert.ok(now <= last);
    last = now;
  }
  // Even the smallest brush leaves a mark.
  const mask = blank(3, 3);
  paintStroke(mask, { x: 1.5, y: 1.5, radius: 0.5 }, { x: 1.5, y: 1.5, radius: 0.5 }, HARD);
  assert.equal(mask.data[4], 255);
});

const HARD = { hardness: 1, erase: false };

test("a stroke in pieces equals the stroke at once, and the eraser takes back what it gave", () => {
  const [whole, pieces] = [blank(30, 30), blank(30, 30)];
  const dab = (x: number, y: number): Dab => ({ x, y, radius: 4 });
  paintStroke(whole, dab(5, 5), dab(25, 5), { hardness: 0.5, erase: false });
  for (let x = 5; x < 25; x++) {
    paintStroke(pieces, dab(x, 5), dab(x + 1, 5), { hardness: 0.5, erase: false });
  }
  assert.deepEqual(pieces.data, whole.data);
  const full = blank(30, 30, 255);
  paintStroke(full, dab(5, 5), dab(25, 5), { hardness: 0.5, erase: true });
  assert.deepEqual(
    full.data,
    whole.data.map((value) => 255 - value),
  );
});

test("boxes are clipped at the edges and count the pixels they touch", () => {
  assert.deepEqual(spanned({ x: 3.2, y: 4.9 }, { x: 1.1, y: 8 }), {
    top: 4,
    left: 1,
    bottom: 9,
    right: 4,
  });
  assert.deepEqual(centred({ x: 10, y: 20 }, [4, 6]), { top: 18, left: 7, bottom: 22, right: 13 });
  const random = chance(3);
  for (let round = 0; round < 200; round++) {
    const mask = blank(9, 13);
    const point = () => ({ x: random() * 33 - 10, y: random() * 29 - 10 });
    const box = spanned(point(), point());
    const part = paintBox(mask, box);
    const inside = (y: number, x: number, b: Box) =>
      y >= b.top && y < b.bottom && x >= b.left && x < b.right;
    let any = false;
    for (let y = 0; y < 9; y++) {
      for (let x = 0; x < 13; x++) {
        any ||= inside(y, x, box);
        assert.equal(mask.data[y * 13 + x], inside(y, x, box) ? 255 : 0);
        assert.equal(part !== null && inside(y, x, part), inside(y, x, box));
      }
    }
    assert.equal(part !== null, any);
  }
  assert.deepEqual(around(null, clip(blank(5, 5), centred({ x: 0, y: 0 }, [4, 4]))), {
    top: 0,
    left: 0,
    bottom: 2,
    right: 2,
  });
});

test("the crop holds all that is hidden and nothing more", () => {
  assert.deepEqual(crop(blank(4, 5)), { box: [0, 0, 1, 1], data: new Uint8Array(1) });
  const random = chance(5);
  for (let round = 0; round < 100; round++) {
    const mask = blank(7, 9);
    for (let i = 0; i < 1 + 4 * random(); i++) {
      mask.data[Math.floor(random() * 63)] = 1 + Math.floor(random() * 255);
    }
    const { box, data } = crop(mask);
    const [top, left, height, width] = box;
    const back = blank(7, 9);
    for (let y = 0; y < height; y++) {
      back.data.set(data.subarray(y * width, (y + 1) * width), (top + y) * 9 + left);
    }
    assert.deepEqual(back.data, mask.data);
    const rows = Array.from({ length: height }, (_, y) =>
      data.subarray(y * width, (y + 1) * width),
    );
    assert.ok(rows[0]?.some(Boolean) && rows.at(-1)?.some(Boolean));
    assert.ok(rows.some((row) => row[0]) && rows.some((row) => row[width - 1]));
  }
});

test("undo and redo lead through every state, as a list of all of them does", () => {
  const random = chance(11);
  const history = createHistory(2, 3);
  let states = [[0, 0, 0, 0, 0, 0]];
  let ids = [history.id];
  let at = 0;
  for (let round = 0; round < 600; round++) {
    const what = random();
    if (what < 0.4) {
      const next = (states[at] as number[]).map((value) => (random() < 0.3 ? 255 - value : value));
      const changes = next.some((value, i) => value !== states[at]?.[i]);
      assert.equal(history.put(Uint8Array.from(next)), changes);
      if (changes) {
        states = [...states.slice(Math.max(0, at - 49), at + 1), next];
        ids = [...ids.slice(Math.max(0, at - 49), at + 1), history.id];
        at = states.length - 1;
      }
    } else if (what < 0.75) {
      assert.equal(history.canUndo, at > 0);
      assert.equal(history.undo(), at > 0);
      at = Math.max(0, at - 1);
    } else {
      assert.equal(history.canRedo, at < states.length - 1);
      assert.equal(history.redo(), at < states.length - 1);
      at = Math.min(states.length - 1, at + 1);
    }
    assert.deepEqual([...history.mask.data], states[at]);
    assert.equal(history.id, ids[at], "the same picture has the same name");
  }
});

test("fifty steps are kept; a stroke is one of them, unless it changes nothing", () => {
  const history = createHistory(1, 1);
  for (let i = 1; i <= 120; i++) history.put(Uint8Array.of(i));
  let steps = 0;
  while (history.undo()) steps += 1;
  assert.equal(steps, 50);
  assert.equal(history.mask.data[0], 70);
  const before = history.id;
  history.begin();
  history.mask.data[0] = 9;
  history.touched();
  assert.notEqual(history.id, before);
  history.restore();
  assert.equal(history.mask.data[0], 70);
  assert.equal(history.commit(), false);
  assert.equal(history.id, before);
  assert.equal(history.canRedo, true, "nothing was done, so redo still can");
  history.begin();
  history.mask.data[0] = 9;
  history.touched();
  history.mask.data[0] = 10;
  history.touched();
  assert.equal(history.commit(), true);
  assert.equal(history.canRedo, false);
  history.undo();
  assert.equal(history.mask.data[0], 70);
});

test("the picture is blended as picture (1 - m) + hidden m, within a level", () => {
  const random = chance(2);
  const bytes = (n: number) => Uint8Array.from({ length: n }, () => Math.floor(256 * random()));
  const [mask, picture] = [blank(4, 5), bytes(60)];
  mask.data.set(bytes(20));
  for (const size of [3, 60]) {
    const hidden = { dtype: "uint8" as const, shape: [1, 1, 3], data: bytes(size) };
    const out = new Uint8ClampedArray(80);
    const box = { top: 1, left: 0, bottom: 4, right: 4 };
    blend(out, mask, picture, hidden, box);
    for (let i = 0; i < 20; i++) {
      const inside = i >= 5 && i % 5 < 4;
      assert.equal(out[4 * i + 3], inside ? 255 : 0);
      for (let k = 0; inside && k < 3; k++) {
        const m = (mask.data[i] ?? 0) / 255;
        const fill = hidden.data[size === 3 ? k : 3 * i + k] ?? 0;
        const want = (picture[3 * i + k] ?? 0) * (1 - m) + fill * m;
        assert.ok(Math.abs((out[4 * i + k] ?? 0) - want) <= 0.51);
      }
    }
  }
});

test("colours as numbers and as text", () => {
  assert.equal(toHex([255, 128, 0]), "#ff8000");
  assert.deepEqual(fromHex("#ff8000"), [255, 128, 0]);
  assert.deepEqual([...(guess("black")?.data ?? [])], [0, 0, 0]);
  assert.deepEqual([...(guess([1, 2, 3])?.data ?? [])], [1, 2, 3]);
  for (const only of ["mean", "blur", "noise"]) assert.equal(guess(only), null);
});

function scores(answer: number, hidden = 0.12): Scores {
  const measured = (probability: number) => ({ logit: 1, probability });
  const classes = [
    {
      index: 3,
      label: "espresso",
      ...measured(answer === 3 ? 0.77 : 0.2),
      before: measured(0.957),
    },
    { index: 5, label: "cup", ...measured(answer === 5 ? 0.6 : 0.059), before: measured(0.014) },
  ];
  const named = (index: number) => ({ index, label: index === 3 ? "espresso" : "cup" });
  return { classes, predicted: named(answer), clean: named(3), hidden };
}

test("the headline says what became of the answer", () => {
  assert.deepEqual(verdict(scores(3)), {
    name: "espresso",
    what: "still the answer",
    flipped: false,
    numbers: "0.957 → 0.770 · 12.0 % of the picture hidden",
  });
  const flipped = verdict(scores(5));
  assert.equal(flipped.flipped, true);
  assert.equal(flipped.name, "was espresso, now cup");
  assert.match(flipped.numbers, /^espresso 0\.957 → 0\.200 · cup 0\.014 → 0\.600 · 12\.0 %/);
  assert.match(spoken(scores(5)), /^The answer has changed: was espresso, now cup, /);
  assert.match(spoken(scores(3)), /^espresso, still the answer, 0\.957 to 0\.770/);
  const clean = scores(3, 0);
  for (const each of clean.classes) each.probability = each.before.probability;
  assert.equal(verdict(clean).what, "the answer");
  assert.equal(verdict(clean).numbers, "0.957 · nothing hidden");
});

test("a class is found by its name, in any case, its number, or both", () => {
  const classes = ["cup", "crane", "Espresso", "crane", "cup holder"];
  for (const [typed, index] of [
    ["crane", 1],
    ["crane · 3", 3],
    ["espresso", 2],
    [" 4 ", 4],
    ["5", null],
    ["teapot", null],
    ["", null],
  ] as const) {
    assert.equal(findClass(typed, classes), index, typed);
  }
  assert.equal(findClass("17", []), 17);
  assert.deepEqual(suggestions("cr", classes), ["crane · 1", "crane · 3"]);
  assert.deepEqual(suggestions("", classes, 2), ["cup", "crane · 1"]);
});
