// Embedding without a page: bits, polygons, the grid, the camera, colours, states, the wire.

import assert from "node:assert/strict";
import { test } from "node:test";
import { countOf, evenly, packBits, unpackBits } from "../src/embedding/bits.ts";
import { panned, scaleOf, seen, toMap, toScreen, WHOLE, zoomed } from "../src/embedding/camera.ts";
import { createGrid } from "../src/embedding/grid.ts";
import { drawingOrder, pointSize } from "../src/embedding/painter.ts";
import { classColours, colouring, css, NOTHING, TEN } from "../src/embedding/palette.ts";
import {
  type Column,
  coordinates,
  NO_POINTS,
  NONE,
  numberOf,
  type Points,
  readLapse,
  readMap,
  readPoints,
  toData,
  toPlaces,
  valueAt,
} from "../src/embedding/points.ts";
import { bounds, inside, pointsInside } from "../src/embedding/polygon.ts";
import { DIM, HIDDEN, LIT, PLAIN, states } from "../src/embedding/states.ts";
import { pack, unpack } from "../src/lib/codec.ts";

/** Pseudo-random numbers of 0..1, the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

// -- bits -----------------------------------------------------------------------------------------

test("a selection survives its way as bits, of any length", () => {
  const next = random(1);
  for (let count = 0; count < 70; count++) {
    const flags = Uint8Array.from({ length: count }, () => (next() < 0.4 ? 1 : 0));
    const bits = packBits(flags);
    assert.equal(bits.length, Math.ceil(count / 8));
    assert.deepEqual(unpackBits(bits, count), flags);
    assert.equal(countOf(flags), flags.filter(Boolean).length);
  }
});

test("bit i is that of byte i >> 3, the lowest first; bits that are missing are 0", () => {
  const flags = new Uint8Array(20);
  flags[0] = flags[9] = flags[18] = 1;
  assert.deepEqual([...packBits(flags)], [1, 2, 4]);
  assert.deepEqual([...unpackBits(new Uint8Array(), 3)], [0, 0, 0]);
});

test("a montage is drawn evenly", () => {
  const next = random(2);
  for (const [count, most] of [
    [100, 10],
    [7, 48],
    [1000, 48],
    [49, 48],
    [0, 5],
  ] as const) {
    const flags = new Uint8Array(3000);
    const all: number[] = [];
    while (all.length < count) {
      const i = Math.floor(next() * 3000);
      if (!flags[i]) all.push(i);
      flags[i] = 1;
    }
    all.sort((a, b) => a - b);
    const found = evenly(flags, most);
    assert.equal(found.length, Math.min(count, most));
    assert.equal(new Set(found).size, found.length);
    found.forEach((i, k) => {
      assert.equal(i, all[Math.floor((k * count) / found.length)]);
    });
  }
});

// -- polygons -------------------------------------------------------------------------------------

/** By the winding of angles: how often the outline goes round. Even: outside, as with crossings. */
function slowly(polygon: number[], x: number, y: number): boolean {
  let turned = 0;
  const corners = polygon.length / 2;
  for (let k = 0; k < corners; k++) {
    const at = (j: number) => [polygon[2 * j] as number, polygon[2 * j + 1] as number] as const;
    const [[ax, ay], [bx, by]] = [at(k), at((k + 1) % corners)];
    const cross = (ax - x) * (by - y) - (ay - y) * (bx - x);
    turned += Math.atan2(cross, (ax - x) * (bx - x) + (ay - y) * (by - y));
  }
  return Math.abs(Math.round(turned / (2 * Math.PI))) % 2 === 1;
}

test("inside is what the sum of angles says, also where the outline crosses itself", () => {
  const next = random(3);
  let within = 0;
  for (let trial = 0; trial < 300; trial++) {
    const corners = 3 + Math.floor(next() * 12);
    const polygon = Array.from({ length: 2 * corners }, () => 4 * next() - 2);
    for (let k = 0; k < 40; k++) {
      const [x, y] = [4 * next() - 2, 4 * next() - 2];
      const found = inside(polygon, x, y);
      assert.equal(found, slowly(polygon, x, y), `${polygon} at ${x}, ${y}`);
      within += Number(found);
    }
  }
  assert.ok(within > 1000);
});

test("two corners hold nothing; corners may be doubled", () => {
  assert.equal(inside([0, 0, 1, 1], 0.5, 0.5), false);
  assert.equal(inside([0, 0, 0, 0, 2, 0, 2, 2, 2, 2, 0, 2], 1, 1), true);
});

test("neighbouring triangles share no point and lose none", () => {
  const lower = [0, 0, 4, 0, 4, 4];
  const upper = [0, 0, 4, 4, 0, 4];
  for (let x = 0.5; x < 4; x += 0.5) {
    for (let y = 0.25; y < 4; y += 0.5) {
      assert.equal(inside(lower, x, y), y < x);
      assert.equal(inside(upper, x, y), y > x);
    }
  }
});

test("points without a place are in no polygon", () => {
  const xy = [0.5, 0.5, Number.NaN, Number.NaN, 3, 3];
  const place = (i: number, at: Float64Array): void => {
    at[0] = xy[2 * i] as number;
    at[1] = xy[2 * i + 1] as number;
  };
  assert.deepEqual([...pointsInside([0, 0, 1, 0, 1, 1, 0, 1], 3, place)], [1, 0, 0]);
  assert.deepEqual(bounds([0, 3, -1, 2, 5, 1]), [-1, 1, 5, 3]);
});

// -- the grid -------------------------------------------------------------------------------------

test("the nearest point is that of a search through all", () => {
  const next = random(4);
  for (const count of [1, 2, 7, 60, 500, 4000]) {
    // Many share a place, some have none.
    const xy = Float32Array.from({ length: 2 * count }, () => Math.round(next() * 100) / 50 - 1);
    for (let i = 0; i < count; i += 9) xy[2 * i] = xy[2 * i + 1] = Number.NaN;
    const grid = createGrid(xy);
    for (let trial = 0; trial < 60; trial++) {
      const [x, y] = [2.4 * next() - 1.2, 2.4 * next() - 1.2];
      const radius = next() < 0.3 ? 3 : next() * 0.3;
      const allowed = (i: number): boolean => i % 3 !== 1;
      const far = (i: number): number =>
        Math.hypot((xy[2 * i] as number) - x, (xy[2 * i + 1] as number) - y);
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < count; i++)
        if (allowed(i) && far(i) <= radius) best = Math.min(best, far(i));
      const found = grid.nearest(x, y, radius, allowed);
      assert.equal(found < 0 ? Number.POSITIVE_INFINITY : far(found), best);
      assert.ok(found < 0 || allowed(found));
    }
  }
});

test("a rectangle holds what a search through all finds, up to a limit", () => {
  const next = random(5);
  const xy = Float32Array.from({ length: 4000 }, () => 2 * next() - 1);
  const grid = createGrid(xy);
  for (let trial = 0; trial < 40; trial++) {
    const [a, b, c, d] = [0, 0, 0, 0].map(() => 2.4 * next() - 1.2) as [
      number,
      number,
      number,
      number,
    ];
    const around = [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)] as const;
    const all: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const [x, y] = [xy[2 * i] as number, xy[2 * i + 1] as number];
      if (x >= around[0] && x <= around[2] && y >= around[1] && y <= around[3]) all.push(i);
    }
    assert.deepEqual(
      grid.within(around).sort((i, j) => i - j),
      all,
    );
    assert.equal(grid.within(around, 5).length, Math.min(5, all.length));
  }
});

// -- the camera -----------------------------------------------------------------------------------

test("pixels and places lead back to one another; zoom keeps what is under the pointer", () => {
  const next = random(6);
  const frame = { width: 731, height: 402 };
  let camera = { ...WHOLE };
  for (let trial = 0; trial < 200; trial++) {
    const pixel = { x: next() * frame.width, y: next() * frame.height };
    const held = toMap(pixel, camera, frame);
    const back = toScreen(held, camera, frame);
    assert.ok(Math.hypot(back.x - pixel.x, back.y - pixel.y) < 1e-6);
    const nearer = zoomed(camera, 0.5 + next(), pixel, frame);
    if (Math.abs(nearer.x) < 1 && Math.abs(nearer.y) < 1) {
      const now = toScreen(held, nearer, frame);
      assert.ok(Math.hypot(now.x - pixel.x, now.y - pixel.y) < 1e-6);
    }
    camera = panned(nearer, 10 * next() - 5, 10 * next() - 5, frame);
    assert.ok(Math.abs(camera.x) <= 1 && Math.abs(camera.y) <= 1);
  }
});

test("at first the whole map is in sight, y upwards", () => {
  const frame = { width: 900, height: 500 };
  const [left, bottom, right, top] = seen(WHOLE, frame);
  assert.ok(left < -1 && bottom < -1 && right > 1 && top > 1);
  assert.ok(toScreen({ x: 0, y: 1 }, WHOLE, frame).y < toScreen({ x: 0, y: -1 }, WHOLE, frame).y);
  assert.equal(scaleOf({ ...WHOLE, zoom: 3 }, frame), 3 * scaleOf(WHOLE, frame));
});

// -- colours and states -------------------------------------------------------------------------

const column = (more: Partial<Column> = {}): Column => ({
  key: "label",
  title: "label",
  kind: "category",
  values: ["cat", "dog"],
  lo: 0,
  hi: 0,
  codes: Uint16Array.from([0, 1, NONE, 1]),
  numbers: null,
  ...more,
});

test("ten colours differ; more classes take them again; no value has its own", () => {
  assert.equal(new Set(TEN.map(css)).size, 10);
  const values = Array.from({ length: 23 }, (_, k) => `class ${k}`);
  const colours = classColours(column({ values }));
  assert.deepEqual(colours[13], TEN[3]);
  const { codes, colours: all } = colouring(column(), 4);
  assert.deepEqual([...codes], [0, 1, 2, 1]);
  assert.deepEqual(all, [TEN[0], TEN[1], NOTHING]);
});

test("right is blue and wrong is orange, whatever comes first", () => {
  const right = classColours(column({ key: "correct", values: ["wrong", "right"] }));
  assert.deepEqual(right, [TEN[3], TEN[0]]);
});

test("numbers run through the scale, NaN has no place in it", () => {
  const numbers = Float32Array.from([-1, 0, 0.5, 1, 2, Number.NaN]);
  const { codes, colours } = colouring(
    column({ kind: "number", codes: null, numbers, lo: 0, hi: 1 }),
    6,
  );
  assert.deepEqual([...codes], [0, 0, 128, 255, 255, 256]);
  assert.equal(colours.length, 257);
  assert.deepEqual(colours[256], NOTHING);
  assert.deepEqual(colours[0], [68, 1, 84]);
});

const points = (more: Partial<Points> = {}): Points => ({
  ...NO_POINTS,
  total: 4,
  count: 4,
  columns: [column()],
  ...more,
});

test("what is lit: the legend's value, else what was found, else the selection", () => {
  const shown = {
    points: points(),
    column: column(),
    hidden: new Set<number>(),
    pointed: -1,
    found: null as Uint8Array | null,
    selection: null as Uint8Array | null,
  };
  assert.deepEqual([...states(shown)], [PLAIN, PLAIN, PLAIN, PLAIN]);
  const selection = Uint8Array.from([1, 0, 0, 0]);
  assert.deepEqual([...states({ ...shown, selection })], [LIT, DIM, DIM, DIM]);
  const found = Uint8Array.from([0, 0, 1, 0]);
  assert.deepEqual([...states({ ...shown, selection, found })], [DIM, DIM, LIT, DIM]);
  assert.deepEqual([...states({ ...shown, found, pointed: 1 })], [DIM, LIT, DIM, LIT]);
  const hidden = new Set([1, NONE]);
  assert.deepEqual([...states({ ...shown, selection, hidden })], [LIT, HIDDEN, HIDDEN, HIDDEN]);
});

test("of a sample the flags are those of the numbers", () => {
  const sample = points({ total: 100, sample: true, index: Int32Array.from([3, 20, 40, 99]) });
  const selection = new Uint8Array(100);
  selection[40] = 1;
  const shown = { points: sample, column: null, hidden: new Set<number>(), pointed: -1 };
  assert.deepEqual([...states({ ...shown, found: null, selection })], [DIM, DIM, LIT, DIM]);
  assert.equal(numberOf(sample, 1), 20);
});

test("every point is drawn once, what is lit last", () => {
  const flags = new Uint8Array(1000);
  for (const i of [5, 500, 77]) flags[i] = LIT;
  const order = drawingOrder(1000, flags);
  assert.deepEqual(new Set(order), new Set(Array(1000).keys()));
  assert.deepEqual(new Set(order.slice(-3)), new Set([5, 500, 77]));
  assert.deepEqual(order, drawingOrder(1000, flags));
  // Mixed: not those of the beginning first.
  const early = [...order.slice(0, 100)].filter((i) => i < 100).length;
  assert.ok(early < 40);
  assert.ok(pointSize(1e6, 1) < pointSize(1e5, 1) && pointSize(1e5, 1) < pointSize(500, 1));
});

// -- the wire -------------------------------------------------------------------------------------

test("places decode to a square of data, those without a place to NaN", () => {
  const codes = Uint16Array.from([0, 0, 65534, 65534, 32767, 16000, NONE, NONE]);
  const range = Float32Array.from([-3, 5, 10, 18]);
  const places = toPlaces(codes, range);
  assert.deepEqual([...places.xy.slice(0, 5)], [-1, -1, 1, 1, 0]);
  assert.ok(Number.isNaN(places.xy[6]) && Number.isNaN(places.xy[7]));
  const at = new Float64Array(2);
  coordinates(places, 1, at);
  assert.deepEqual([...at], [5, 18]);
  coordinates(places, 2, at);
  assert.deepEqual([...at], [1, 10 + (16000 * 8) / 65534]);
  coordinates(places, 3, at);
  assert.ok(Number.isNaN(at[0]));
  assert.deepEqual(toData(places, -1, 1), [-3, 18]);
  assert.deepEqual(toData(places, 0, 0), [1, 14]);
});

test("points, maps and time-lapses are read as they were packed", () => {
  const codes = Uint16Array.from([0, 1, NONE]);
  const numbers = Float32Array.from([0.5, Number.NaN, 2]);
  const columns = [
    { key: "label", title: "label", kind: "category", values: ["a", "b"] },
    { key: "colours:n", title: "n", kind: "number", lo: 0.5, hi: 2 },
  ];
  const meta = { total: 50, sample: true, names: null, columns, default: "label", unread: 2 };
  const read = readPoints(
    unpack(
      pack(
        { ...meta, layer_choices: "given", given: true, error: null },
        {
          c_0: { shape: [3], data: codes },
          c_1: { shape: [3], data: numbers },
          index: { shape: [3], data: Int32Array.from([4, 9, 48]) },
        },
      ),
    ),
  );
  assert.deepEqual([read.total, read.count, read.sample, read.unread], [50, 3, true, 2]);
  assert.deepEqual([read.choices, read.given, read.error], ["given", true, ""]);
  const [label, n] = read.columns as [Column, Column];
  assert.deepEqual(
    [0, 1, 2].map((i) => valueAt(label, i)),
    ["a", "b", ""],
  );
  assert.deepEqual(
    [0, 1, 2].map((i) => valueAt(n, i)),
    [0.5, "", 2],
  );

  const about = { run: 3, method: "tsne", iteration: 20, total: 750, kl: 1.5, complete: false };
  const xy = { shape: [3, 2], data: Uint16Array.from([0, 0, 65534, 0, NONE, NONE]) };
  const range = { shape: [4], data: Float32Array.from([0, 1, 0, 1]) };
  const map = readMap(unpack(pack(about, { xy, range })));
  assert.equal(map.meta.iteration, 20);
  assert.deepEqual([...map.xy.slice(0, 4)], [-1, -1, 1, -1]);

  const steps = {
    shape: [2, 3, 2],
    data: Uint16Array.from([...xy.data, ...xy.data.map((c) => c)]),
  };
  steps.data[6] = 65534;
  const lapse = readLapse(
    unpack(pack({ layers: ["a", "b"], method: "pca", complete: true }, { xy: steps, range })),
  );
  assert.equal(lapse.steps.length, 2);
  assert.deepEqual(
    lapse.steps.map((step) => step.xy[0]),
    [-1, 1],
  );
});

test("what is cut short is refused in words", () => {
  const whole = pack({ run: 1 }, { xy: { shape: [1, 2], data: Uint16Array.from([1, 2]) } });
  assert.throws(() => readMap(unpack(whole)), /no array "range"/);
  assert.throws(() => unpack(whole.subarray(0, whole.length - 8)), /reaches beyond its end/);
});
