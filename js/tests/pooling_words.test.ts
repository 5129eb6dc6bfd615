// What the Pooling widget says and where it puts things.

import assert from "node:assert/strict";
import { test } from "node:test";
import { partsOf } from "../src/pooling/gap.ts";
import { cellAt, layoutGrids, layoutPair } from "../src/pooling/layout.ts";
import { pool } from "../src/pooling/pool.ts";
import { extent, lookOf, type Shown } from "../src/pooling/session.ts";
import type { How, Pair } from "../src/pooling/settings.ts";
import { explain, factsOf, fitted, share } from "../src/pooling/words.ts";
import { chance } from "./helpers.ts";

const MAX: How = {
  op: "max",
  window: [2, 2],
  stride: [2, 2],
  padding: [0, 0],
  dilation: [1, 1],
  ceil_mode: false,
  count_include_pad: true,
  divisor_override: null,
};

function shownOf(values: number[], size: Pair, how: How): Shown {
  const map = Float32Array.from(values);
  const result = pool(map, ...size, how);
  return { layer: "x", channel: 0, map, size, how, result, look: lookOf([map], false) };
}

test("facts of ResNet's first pooling", () => {
  const facts = factsOf([64, 112, 112], { ...MAX, window: [3, 3], padding: [1, 1] });
  assert.deepEqual(facts, {
    shapes: "64 x 112 x 112 → 64 x 56 x 56",
    arithmetic: "floor((112 + 2*1 - 3)/2) + 1 = 56",
    numbers: "802,816 numbers become 200,704; 75 % are dropped",
    edges: " ",
  });
  const uneven = factsOf([1, 5, 8], MAX);
  assert.equal(uneven.edges.trim(), "in no window: 1 row");
  assert.match(uneven.arithmetic, /^rows floor\(.* = 2, columns floor\(.* = 4$/);
  const more = factsOf([1, 4, 4], { ...MAX, stride: [1, 1], padding: [1, 1] });
  assert.match(more.numbers, /^16 numbers become 25; 56.3 % more$/);
});

test("a value says which window it is of and where its maximum was", () => {
  const shown = shownOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], [4, 4], MAX);
  const after = explain(shown, { of: "after", y: 1, x: 0 });
  assert.equal(after.title, "output (1, 0) = 14");
  assert.equal(after.why, "the largest of 4 values, at (3, 1)");
  assert.deepEqual(after.data, { cell: "1,0", window: "2,0,2,2", result: "14", maximum: "3,1" });
  const won = explain(shown, { of: "before", y: 3, x: 1 });
  assert.equal(won.why, "the maximum of 1 of 1 window: (1, 0)");
  assert.deepEqual(won.data, { input: "3,1", outputs: "1,0" });
  const lost = explain(shown, { of: "before", y: 2, x: 1 });
  assert.equal(lost.why, "the maximum of 0 of 1 window: dropped");
});

test("means and L2 say how they are made", () => {
  const values = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const mean = explain(shownOf(values, [3, 3], { ...MAX, op: "avg" }), { of: "after", y: 0, x: 0 });
  assert.equal(mean.why, "the mean of 4 values: 12 / 4");
  assert.equal(mean.data.result, "3");
  const padded = { ...MAX, op: "avg", window: [3, 3], padding: [1, 1] } as const;
  const corner = explain(shownOf(values, [3, 3], padded), { of: "after", y: 0, x: 0 });
  assert.equal(corner.why, "the mean of 4 values: 12.0 / 9");
  assert.equal(corner.data.window, "0,0,2,2");
  const cut = { ...MAX, op: "l2", ceil_mode: true } as const;
  const edge = explain(shownOf(values, [3, 3], cut), { of: "after", y: 1, x: 1 });
  assert.equal(edge.why, "the root of the sum of 1 value squared, scaled up from 1 to 4");
  const counts = explain(shownOf(values, [3, 3], { ...MAX, op: "avg" }), {
    of: "before",
    y: 0,
    x: 0,
  });
  assert.equal(counts.why, "counts in 1 window: (0, 0)");
  const unread = explain(shownOf(values, [3, 3], MAX), { of: "before", y: 2, x: 2 });
  assert.equal(unread.why, "the maximum of 0 of 0 windows: dropped");
});

test("numbers in a few characters", () => {
  for (const [value, most, words] of [
    [0.8312, 5, "0.831"],
    [0.8312, 4, "0.83"],
    [-0.8312, 4, "-0.8"],
    [12.34, 4, "12.3"],
    [1234.5, 4, "1230"],
    [1e-9, 4, "1e-9"],
    [Number.NaN, 3, "NaN"],
    [123456, 2, ""],
  ] as const) {
    assert.equal(fitted(value, most), words);
  }
  assert.equal(share(0.9375), "93.8 %");
});

test("both maps lie side by side, whole pixels to a cell", () => {
  const random = chance(4);
  for (let i = 0; i < 300; i++) {
    const side = () => 1 + Math.floor(random() * 140);
    const [size, out]: [Pair, Pair] = [
      [side(), side()],
      [side(), side()],
    ];
    const width = 300 + Math.floor(random() * 1200);
    const pixels = [1, 1.5, 2][i % 3] as number;
    const { cell, before, after, height } = layoutPair(size, out, [1, 2], width, pixels);
    assert.ok(after.x + out[1] * cell <= width + 1, "it fits");
    assert.ok(before.x + (size[1] + 2) * cell < after.x, "they do not overlap");
    assert.ok(before.y + (size[0] + 1) * cell <= height);
    if (cell * pixels >= 1) assert.ok(Math.abs(cell * pixels - Math.round(cell * pixels)) < 1e-9);
    const spot = { y: Math.floor(random() * out[0]), x: Math.floor(random() * out[1]) };
    const [x, y] = [after.x + (spot.x + 0.5) * cell, after.y + (spot.y + 0.5) * cell];
    assert.deepEqual(cellAt(after, cell, x, y), spot);
    assert.equal(cellAt(after, cell, after.x - 1, y), null);
  }
});

test("two grids of one order, in the sizes of the maps", () => {
  for (const [count, size, out, width] of [
    [64, [112, 112], [56, 56], 880],
    [2048, [7, 7], [1, 1], 420],
    [16, [32, 20], [32, 20], 700],
    [1, [4, 4], [2, 2], 420],
    [512, [14, 14], [15, 15], 420],
  ] as ReadonlyArray<readonly [number, Pair, Pair, number]>) {
    const grid = layoutGrids(count, size, out, width);
    assert.ok(grid.x + grid.columns * (grid.after[1] + 4) <= width + 4, "it fits");
    assert.ok(grid.height < 560);
    const ratio = grid.after[1] / grid.before[1];
    assert.ok(Math.abs(ratio - out[1] / size[1]) < 0.08, `${ratio}`);
  }
  const all = layoutGrids(64, [112, 112], [56, 56], 880);
  assert.ok(all.columns * all.rows >= 64, "a stack of 64 is seen at once");
});

test("the sum of the contributions is left whole", () => {
  const random = chance(8);
  const products = Float32Array.from({ length: 100 }, () => 2 * random() - 1);
  const parts = [...partsOf(products, 1), ...partsOf(products, -1)];
  const sum = products.reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(parts.reduce((all, { value }) => all + value, 0) - sum) < 1e-9);
  const [first] = parts;
  assert.equal(first?.channel, products.indexOf(Math.max(...products)));
  assert.equal(parts.filter(({ channel }) => channel === undefined).length, 2);
  assert.equal(partsOf(Float32Array.of(1, 2), -1).length, 0);
});

test("colours: one range for both maps, around zero where there are negative ones", () => {
  const [before, after] = [
    Float32Array.of(1, 4, Number.NaN),
    Float32Array.of(9, Number.POSITIVE_INFINITY),
  ];
  assert.deepEqual(lookOf([before, after], false).range, [1, 9]);
  assert.deepEqual(lookOf([Float32Array.of(-2, 1)], true).range, [-2, 2]);
  assert.deepEqual(extent([before], 0, 0), [0, 4]);
  const { colours, colour } = lookOf([before, after], false);
  assert.equal(colour(9), colours[255]);
  assert.equal(colour(1), colours[0]);
});
