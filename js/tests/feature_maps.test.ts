import assert from "node:assert/strict";
import { test } from "node:test";
import { rangeOf } from "../src/feature_maps/comparison.ts";
import { histogram } from "../src/feature_maps/histogram.ts";
import { kernelRgb } from "../src/feature_maps/kernels.ts";
import { type LayerMaps, readLayerMaps } from "../src/feature_maps/layer_maps.ts";
import {
  hitTile,
  layoutGrid,
  moveInGrid,
  narrow,
  scrollTo,
  tileAt,
  visibleTiles,
} from "../src/feature_maps/layout.ts";
import { orderChannels, type Sort } from "../src/feature_maps/order.ts";
import { pointAt } from "../src/feature_maps/pointing.ts";
import { pack, unpack } from "../src/lib/codec.ts";

function stats(mean: number[], dead: number[] = mean.map(() => 0)) {
  const values = Float32Array.from(mean);
  const names = { mean: values, minimum: values, maximum: values };
  const more = { variance: values, sparsity: values, nan: new Int32Array(mean.length) };
  return { ...names, ...more, dead: Uint8Array.from(dead) };
}

test("channels are sorted downwards, ties by index, dead ones left out when asked", () => {
  const some = stats([1, 5, 5, 0, 3], [0, 0, 0, 1, 0]);
  assert.deepEqual([...orderChannels(some, "mean", false)], [1, 2, 4, 0, 3]);
  assert.deepEqual([...orderChannels(some, "index", true)], [0, 1, 2, 4]);
  for (const sort of ["max", "variance", "sparsity"] as Sort[]) {
    assert.deepEqual([...orderChannels(some, sort, true)], [1, 2, 4, 0]);
  }
});

test("every tile in sight is found, and no other", () => {
  for (const [count, size, available] of [
    [1280, 32, 1376],
    [144, 72, 500],
    [3, 192, 300],
  ] as const) {
    const grid = layoutGrid(count, [7, 7], size, available);
    for (const top of [0, 1, 33, 250, 9999]) {
      const [first, last] = visibleTiles(grid, top, 400);
      for (let i = 0; i < count; i++) {
        const { y } = tileAt(grid, i);
        const seen = y + grid.height > top && y < top + 400;
        if (seen) assert.ok(i >= first && i < last, `${i} of ${count} at ${top}`);
      }
      assert.ok(last - first <= (Math.ceil(400 / grid.height) + 2) * grid.columns);
    }
  }
});

test("tiles stay inside the width, and a point on a tile finds it", () => {
  for (let available = 60; available < 1700; available += 37) {
    const grid = layoutGrid(500, [28, 56], 72, available);
    assert.equal(grid.columns * grid.rows >= 500, true);
    assert.ok(grid.columns === 1 || tileAt(grid, grid.columns - 1).x + grid.width <= available);
    for (const index of [0, grid.columns - 1, 499]) {
      const { x, y } = tileAt(grid, index);
      const hit = hitTile(grid, x + grid.width / 2, y + grid.height / 4);
      assert.deepEqual([hit?.index, hit?.u, hit?.v], [index, 0.5, 0.25]);
    }
    assert.equal(hitTile(grid, 1, 1), null);
  }
  assert.equal(layoutGrid(0, [7, 7], 72, 500).total, 0);
});

test("keys move as the grid pattern says and stop at the ends", () => {
  const grid = layoutGrid(10, [4, 4], 96, 4 * 100 + 4);
  assert.equal(grid.columns, 4);
  const go = (index: number, key: string, control = false) =>
    moveInGrid(grid, index, key, control, 2);
  assert.equal(go(0, "ArrowLeft"), 0);
  assert.equal(go(3, "ArrowRight"), 4);
  assert.equal(go(1, "ArrowUp"), 1);
  assert.equal(go(7, "ArrowDown"), 7);
  assert.equal(go(5, "ArrowDown"), 9);
  assert.equal(go(6, "Home"), 4);
  assert.equal(go(9, "End"), 9);
  assert.equal(go(5, "End"), 7);
  assert.equal(go(5, "Home", true), 0);
  assert.equal(go(5, "End", true), 9);
  assert.equal(go(1, "PageDown"), 9);
  assert.equal(go(9, "PageUp"), 1);
  assert.equal(go(1, "x"), null);
});

test("scrolling brings a tile into full view and no further", () => {
  const grid = layoutGrid(100, [4, 4], 96, 404);
  assert.equal(scrollTo(grid, 0, 0, 300), 0);
  const far = scrollTo(grid, 99, 0, 300);
  const { y } = tileAt(grid, 99);
  assert.ok(y >= far && y + grid.height <= far + 300);
  assert.equal(scrollTo(grid, 99, far, 300), far);
  assert.ok(scrollTo(grid, 0, far, 300) === 0);
});

test("contrast narrows the range and keeps the colour of zero", () => {
  assert.deepEqual(narrow(-2, 4, 0), [-2, 4]);
  const [a, b] = narrow(-2, 4, 0.5);
  assert.ok(a > -2 && b < 4 && Math.abs(a / b + 0.5) < 1e-12);
  const [c, d] = narrow(10, 20, 1);
  assert.ok(c > 10 && d < 20 && Math.abs(c + d - 30) < 1e-9);
  assert.deepEqual(narrow(0, 0, 1), [0, 0]);
});

test("the histogram counts every finite value once and knows where zero is", () => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => (i % 50) / 10 - 1);
  values[3] = Number.NaN;
  values[4] = Infinity;
  const found = histogram(values, 50);
  assert.equal(
    found.counts.reduce((a, b) => a + b),
    998,
  );
  assert.ok(found.zero >= 9 && found.zero <= 10);
  assert.equal(histogram(Float32Array.of(2, 2, 2)).counts[0], 3);
  const none = histogram(Float32Array.of(Number.NaN));
  assert.deepEqual([none.zero, none.counts.reduce((a, b) => a + b)], [-1, 0]);
});

function blob(factor: number): LayerMaps {
  const cells = 4 / factor;
  const n = 2;
  const f = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });
  const pairs = Int16Array.from({ length: 8 }, (_, i) => (i >> 1) * 8 + (i & 1) * 12);
  const codes = Uint8Array.from({ length: n * cells * cells }, (_, i) => i * 10);
  const packed = pack(
    { layer: "conv", image: 0, shape: [2, 4, 4], factor, signed: false, version: 7 },
    {
      channels: { shape: [n], data: Int32Array.of(1, 0) },
      codes: { shape: [n, cells, cells], data: codes },
      lo: f(0, 0),
      hi: f(254, 254),
      mean: f(1, 2),
      minimum: f(0, 0),
      maximum: f(3, 4),
      variance: f(1, 1),
      sparsity: f(0, 0),
      nan: { shape: [2], data: Int32Array.of(0, 2) },
      dead: { shape: [2], data: Uint8Array.of(0, 0) },
      rows: { shape: [4, 2], data: pairs },
      columns: { shape: [4, 2], data: pairs },
      picture: { shape: [1, 1, 3], data: Uint8Array.of(1, 2, 3) },
    },
  );
  return readLayerMaps(unpack(packed));
}

test("a place on a tile leads to the cell, its value and what it sees", () => {
  const maps = blob(1);
  assert.equal(maps.maps.size, 2);
  const hover = pointAt(maps, 1, 0.3, 0.6);
  assert.ok(hover);
  assert.deepEqual([hover.y, hover.x, hover.value, hover.exact], [2, 1, 90, false]);
  assert.deepEqual(hover.box, { top: 16, left: 8, bottom: 28, right: 20 });
  assert.equal(maps.remark(1), "NaN");
});

test("reduced maps point at all the cells they stand for, until the floats are here", () => {
  const maps = blob(2);
  const hover = pointAt(maps, 0, 0.9, 0.1);
  assert.ok(hover);
  assert.deepEqual(hover.box, { top: 0, left: 16, bottom: 20, right: 36 });
  const values = Float32Array.from({ length: 16 }, (_, i) => i / 8);
  const shape = { map: { shape: [4, 4], data: values } };
  maps.addFull(unpack(pack({ channel: 0, weights: null }, shape)));
  const exact = pointAt(maps, 0, 0.9, 0.1);
  assert.deepEqual([exact?.y, exact?.x, exact?.value, exact?.exact], [0, 3, 3 / 8, true]);
  assert.deepEqual(exact?.box, { top: 0, left: 24, bottom: 12, right: 36 });
});

test("kernels as colours reach from 0 to 255; constants are black, not noise", () => {
  assert.deepEqual([...kernelRgb(Float32Array.of(-1, 0, 1), 1, 1)], [0, 128, 255]);
  assert.deepEqual([...kernelRgb(Float32Array.of(2, 2, 2), 1, 1)], [0, 0, 0]);
});

test("one scale for all images", () => {
  const codes = new Uint8Array(1);
  assert.deepEqual(
    rangeOf([
      { codes, lo: -1, hi: 2 },
      { codes, lo: 0, hi: 9 },
    ]),
    [-1, 9],
  );
  assert.deepEqual(rangeOf([]), [0, 0]);
});
