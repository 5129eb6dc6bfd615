// The arithmetic of the Attribution widget, each part against a slow and simple one.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Heat,
  heatOf,
  keptOf,
  keptPixels,
  lookOf,
  paintHeat,
} from "../src/attribution/heat.ts";
import {
  keyOf,
  type MethodResult,
  mapOf,
  mean,
  ofPixels,
  readResults,
  readTerms,
  running,
  steps,
  term,
} from "../src/attribution/results.ts";
import {
  sayArea,
  sayDoubt,
  sayNotes,
  sayRandom,
  sayScore,
  saySum,
  sayUnit,
} from "../src/attribution/words.ts";
import { pack, unpack } from "../src/lib/codec.ts";
import { decode, entry, table } from "../src/lib/colormap.ts";
import { chance } from "./helpers.ts";

const SIDES: [number, number] = [12, 17];
const COUNT = SIDES[0] * SIDES[1];

/** A result whose maps are quantised noise with ties, zeros and, if wanted, NaN. */
function noise(seed: number, lo: number, hi: number, planes = 1, nan = false): MethodResult {
  const random = chance(seed);
  const codes = () =>
    Uint8Array.from({ length: COUNT }, () => {
      const code = Math.floor(random() * 40) * 6;
      return nan && random() < 0.1 ? 255 : code;
    });
  const all = Array.from({ length: planes }, (_, k) => ({
    codes: codes(),
    lo: k === 1 ? 0 : lo,
    hi,
  }));
  return { ...EMPTY, planes: all };
}

const EMPTY: MethodResult = {
  name: "gradient",
  error: "",
  min: -1,
  max: 1,
  positive: true,
  layer: null,
  notes: [],
  ms: 3,
  done: 1,
  total: 1,
  completeness: null,
  place: null,
  planes: [],
};

function heat(result: MethodResult, reduce: "abs" | "signed" | "positive", pixels: boolean): Heat {
  const found = heatOf(result, reduce, pixels);
  assert.ok(found);
  return found;
}

test("a reduction is what it does to each pixel, and zero stays zero", () => {
  const result = noise(1, -0.7, 1.3, 2);
  const [signed, positive] = result.planes;
  assert.ok(signed && positive);
  const half = 2 / 254 / 2;
  for (const reduce of ["abs", "signed", "positive"] as const) {
    const { codes, values } = heat(result, reduce, true);
    for (let i = 0; i < COUNT; i++) {
      const plane = reduce === "positive" ? positive : signed;
      const value = decode(plane.codes[i] ?? 0, plane.lo, plane.hi);
      const want = reduce === "abs" ? Math.abs(value) : value;
      const got = values[codes[i] ?? 0] ?? Number.NaN;
      assert.ok(got === want || (got === 0 && Math.abs(want) <= half), `${got}, not ${want}`);
    }
  }
  // The zeros of guided backpropagation share a code whose value is next to zero.
  const near = heat(result, "signed", true).values;
  assert.equal(near.filter((value) => value === 0).length, 1);
});

test("without its own plane the positive part is that of the signed one", () => {
  const result = noise(2, -1, 1);
  const { values, codes } = heat(result, "positive", true);
  const signed = heat(result, "signed", true);
  for (const code of codes) {
    assert.equal(values[code], Math.max(0, signed.values[code] ?? 0));
  }
});

test("a CAM is one number a pixel already, whatever the reduction", () => {
  const cam = noise(3, -2, 5);
  const all = (["abs", "signed", "positive"] as const).map((reduce) => heat(cam, reduce, false));
  for (const each of all) {
    assert.deepEqual(each.values, all[0]?.values);
    assert.equal(each.signed, true);
  }
  assert.equal(heat(noise(3, 0, 5), "signed", false).signed, false);
  assert.equal(heatOf(EMPTY, "abs", true), null);
});

test("a threshold keeps the largest values, as sorting says, and never more than was asked", () => {
  const random = chance(4);
  for (let round = 0; round < 40; round++) {
    const result = noise(round, -random(), random() * 3, 1, round % 3 === 0);
    const it = heat(result, round % 2 ? "abs" : "signed", true);
    const share = random();
    const kept = keptOf(it, share);
    const pixels = keptPixels(it, kept);
    const count = pixels.reduce((sum, one) => sum + one, 0);
    assert.ok(count <= share * COUNT);
    assert.equal(kept.coverage, count / COUNT);
    const values = Array.from(it.codes, (code) => it.values[code] ?? Number.NaN);
    const inside = values.filter((_, i) => pixels[i]);
    const outside = values.filter((value, i) => !pixels[i] && !Number.isNaN(value));
    assert.ok(Math.min(...inside) >= Math.max(...outside, Number.NEGATIVE_INFINITY));
    // One value more would be too many.
    const next = Math.max(...outside);
    const more = outside.filter((value) => value === next).length;
    assert.ok(count + more > share * COUNT || outside.length === 0);
  }
  assert.equal(keptOf(heat(noise(5, 0, 1), "abs", true), 0).coverage, 0);
});

test("contrast clips so many of the pixels that are not zero", () => {
  for (const share of [0.8, 0.9, 0.99, 1]) {
    const it = heat(noise(6, -0.4, 1, 2), "abs", true);
    const { range, colours } = lookOf(it, "auto", share);
    assert.deepEqual(colours, table("inferno"));
    const values = Array.from(it.codes, (code) => it.values[code] ?? 0).filter((v) => v !== 0);
    const over = values.filter((value) => value > range[1]).length;
    assert.ok(over <= (1 - share) * values.length);
    if (share === 1) assert.equal(range[1], Math.max(...values));
  }
  // Sparks in an empty picture are seen: its zeros do not count.
  const codes = new Uint8Array(COUNT);
  codes[7] = 254;
  codes[9] = 127;
  const sparks = heat({ ...EMPTY, planes: [{ codes, lo: 0, hi: 2 }] }, "abs", true);
  assert.equal(lookOf(sparks, "auto", 0.9).range[1], 2);
});

test("zero is in the middle of what has signs, and of diverging tables", () => {
  const signed = heat(noise(7, -3, 1), "signed", true);
  const { range, colours } = lookOf(signed, "auto", 1);
  assert.deepEqual(colours, table("RdBu_r"));
  assert.equal(range[0], -range[1]);
  assert.equal(range[1], 3);
  const plain = heat(noise(7, 0, 1), "abs", true);
  assert.equal(lookOf(plain, "coolwarm", 1).range[0], -lookOf(plain, "coolwarm", 1).range[1]);
  assert.equal(lookOf(plain, "viridis", 1).range[0], 0);
});

test("the map is blended over the grey picture; what is not kept is dark", () => {
  const it = heat(noise(8, 0, 1, 1, true), "abs", true);
  const look = lookOf(it, "viridis", 1);
  const random = chance(9);
  const grey = Uint8Array.from({ length: COUNT }, () => random() * 256);
  const kept = Uint8Array.from({ length: COUNT }, () => (random() < 0.5 ? 1 : 0));
  const colours = new Uint8Array(table("viridis").buffer);
  for (const keep of [null, kept]) {
    const out = new Uint32Array(COUNT);
    paintHeat(out, grey, SIDES[1], it, look, 0.6, keep);
    const bytes = new Uint8Array(out.buffer);
    for (let i = 0; i < COUNT; i++) {
      const code = it.codes[i] as number;
      if (code === 255) continue;
      const at = entry(it.values[code] as number, ...look.range);
      for (let k = 0; k < 3; k++) {
        const under = grey[i] as number;
        const over = colours[4 * at + k] as number;
        const want = keep && !keep[i] ? under * 0.3 : under * 0.4 + over * 0.6;
        assert.ok(Math.abs((bytes[4 * i + k] as number) - want) <= 1);
      }
    }
  }
});

test("a piece that is kept has an outline; sparks have none", () => {
  const it = heat(noise(10, 0, 1), "abs", true);
  const look = lookOf(it, "viridis", 1);
  const square = new Uint8Array(COUNT * 16);
  const wide = SIDES[1] * 4;
  for (let y = 4; y < 40; y++) for (let x = 6; x < 60; x++) square[y * wide + x] = 1;
  const codes = new Uint8Array(square.length);
  const out = new Uint32Array(square.length);
  const large = { ...it, codes };
  paintHeat(out, new Uint8Array(square.length), wide, large, look, 1, square);
  const white = (y: number, x: number) => out[y * wide + x] === 0xffffffff;
  for (let y = 3; y < 41; y++) {
    for (let x = 5; x < 61; x++) {
      const edge = (y === 4 || y === 39 || x === 6 || x === 59) && square[y * wide + x] === 1;
      assert.equal(white(y, x), edge, `(${y}, ${x})`);
    }
  }
  const sparks = square.map((_, i) => (i % 5 === 0 ? 1 : 0));
  paintHeat(out, new Uint8Array(square.length), wide, large, look, 1, sparks);
  assert.ok(!out.includes(0xffffffff));
});

test("results are read from a blob at any offset; a method that failed keeps its place", () => {
  const codes = Uint8Array.from({ length: 2 * COUNT }, (_, i) => i % 255);
  const meta = {
    target: { name: "cup", index: 2, other: null },
    score: 3,
    score_name: "logit",
    layer: "conv",
    unit: null,
    methods: [
      { ...EMPTY, name: "cam", error: "no CAM" },
      { name: "gradient", min: -1, max: 2, positive: true },
    ],
  };
  const blob = pack(meta, {
    codes1: { shape: [2, ...SIDES], data: codes },
    lo1: { shape: [2], data: Float32Array.of(-1, 0) },
    hi1: { shape: [2], data: Float32Array.of(2, 2) },
  });
  const moved = new Uint8Array(blob.length + 3);
  moved.set(blob, 3);
  const found = readResults(unpack(moved.subarray(3)));
  assert.deepEqual(found.size, SIDES);
  const [failed, made] = found.methods;
  assert.deepEqual([failed?.error, failed?.planes], ["no CAM", []]);
  assert.equal(made?.planes.length, 2);
  assert.deepEqual(made?.planes[1]?.codes, codes.subarray(COUNT));
  assert.deepEqual([made?.planes[1]?.lo, made?.planes[1]?.hi, made?.error], [0, 2, ""]);
  assert.deepEqual(mapOf(unpack(blob), 1).size, SIDES);
  const nothing = readResults(unpack(pack({ methods: [{ name: "cam", error: "why" }] })));
  assert.deepEqual([nothing.size, nothing.target.index, nothing.best], [null, null, []]);
});

test("what answers a question", () => {
  const ask = { index: 3, other: null, layer: "conv", unit: null, score: "logit" };
  const same = (other: object, layered: boolean) =>
    keyOf(ask, layered) === keyOf({ ...ask, ...other }, layered);
  assert.ok(same({}, true));
  assert.ok(!same({ index: 4 }, false) && !same({ other: 4 }, false));
  assert.ok(!same({ score: "probability" }, false));
  // The layer matters to CAMs and units alone, the class to a unit not at all.
  assert.ok(same({ layer: "relu" }, false) && !same({ layer: "relu" }, true));
  assert.ok(!same({ unit: [1, "total"] }, false));
  const unit = { ...ask, unit: [1, 2, 3] as const };
  assert.equal(keyOf(unit, false), keyOf({ ...unit, index: 9, score: "probability" }, true));
  assert.notEqual(keyOf(unit, false), keyOf({ ...unit, layer: "relu" }, false));
});

test("which methods say something of every pixel", () => {
  const info = (name: string, is_cam: boolean) => ({
    name,
    is_cam,
    title: "",
    paper: "",
    formula: "",
  });
  assert.ok(ofPixels(info("gradient", false)) && ofPixels(info("guided_gradcam", true)));
  assert.ok(!ofPixels(info("gradcam", true)));
});

/** Terms of `count` channels, of which `sent` come one by one. */
function someTerms(count: number, sent: number) {
  const random = chance(11);
  const size = 6;
  const weights = Float32Array.from({ length: count }, () => random() * 2 - 1);
  const maps = Array.from({ length: count }, () =>
    Float32Array.from({ length: size }, () => random()),
  );
  const shares = Float32Array.from(maps, (map, k) => mean(map) * (weights[k] as number));
  const all = Array.from({ length: count }, (_, k) => k);
  const order = all.sort((a, b) => Math.abs(shares[b] ?? 0) - Math.abs(shares[a] ?? 0));
  const cam = new Float32Array(size);
  const rest = new Float32Array(size);
  order.forEach((k, rank) => {
    for (let i = 0; i < size; i++) {
      const value = (maps[k]?.[i] ?? 0) * (weights[k] ?? 0);
      cam[i] = (cam[i] ?? 0) + value;
      if (rank >= sent) rest[i] = (rest[i] ?? 0) + value;
    }
  });
  const data = new Float32Array(sent * size);
  order.slice(0, sent).forEach((k, rank) => {
    data.set(maps[k] ?? [], rank * size);
  });
  const meta = { layer: "conv", bias: 0.25, score: mean(cam) + 0.25, count, checks: [] };
  const blob = pack(meta, {
    shares: { shape: [count], data: shares },
    weights: { shape: [count], data: weights },
    order: { shape: [count], data: Int32Array.from(order) },
    maps: { shape: [sent, 2, 3], data },
    rest: { shape: [2, 3], data: rest },
  });
  return { terms: readTerms(unpack(blob)), cam, shares, order };
}

test("the running sum adds term by term and becomes the CAM", () => {
  for (const [count, sent] of [
    [9, 4],
    [5, 5],
    [1, 1],
  ] as const) {
    const { terms, cam, shares, order } = someTerms(count, sent);
    assert.deepEqual(terms.size, [2, 3]);
    assert.equal(steps(terms), sent + (count > sent ? 1 : 0));
    assert.ok(running(terms, 0).every((value) => value === 0));
    for (let n = 1; n <= steps(terms); n++) {
      const [before, after, last] = [running(terms, n - 1), running(terms, n), term(terms, n - 1)];
      after.forEach((value, i) => {
        assert.ok(Math.abs(value - (before[i] ?? 0) - (last[i] ?? 0)) < 1e-5);
      });
      if (n <= sent) assert.ok(Math.abs(mean(last) - (shares[order[n - 1] ?? 0] ?? 0)) < 1e-6);
    }
    running(terms, steps(terms)).forEach((value, i) => {
      assert.ok(Math.abs(value - (cam[i] ?? 0)) < 1e-5, "the whole sum is the CAM");
    });
    const whole = mean(running(terms, steps(terms)));
    assert.ok(Math.abs(whole + (terms.bias ?? 0) - terms.score) < 1e-5);
    assert.match(saySum(terms, steps(terms), whole), new RegExp(`^${count} of ${count} terms`));
  }
});

test("results in words", () => {
  const results = readResults(
    unpack(
      pack({
        target: { name: "cup", index: 2, other: null },
        score: 8.034,
        score_name: "logit",
        probability: 0.379,
        methods: [],
      }),
    ),
  );
  assert.equal(sayScore(results), "logit 8.03 · probability 0.379");
  const probability = { ...results, score_name: "probability", score: 0.379 };
  assert.equal(sayScore(probability), "probability 0.379");
  const two = { ...results, target: { name: "cup - tray", index: 2, other: 4 }, probability: null };
  assert.equal(sayScore(two), "difference of logit 8.03");
  assert.equal(sayUnit([17, "max"]), "channel 17 max");
  assert.equal(sayUnit([17, 3, 4]), "channel 17 at (3, 4)");
  const notes = sayNotes({
    ...EMPTY,
    layer: "conv",
    done: 20,
    total: 50,
    completeness: { attributed: 1, difference: 1.25, error: 0.2 },
  });
  assert.equal(notes, "Maps of conv. 20 of 50 samples. Adds up to 1 of 1.25, 20.0 % off.");
  assert.equal(
    sayNotes({ ...EMPTY, layer: "conv", notes: ["The layer is 'conv'."] }),
    "The layer is 'conv'.",
  );
  const evidence = { deletion: 1, insertion: 1, randomised: [], notes: [] };
  assert.match(sayRandom({ ...evidence, remaining: -0.05 }), /it depends on what was learnt/);
  assert.match(sayRandom({ ...evidence, remaining: 0.4 }), /in part/);
  assert.match(sayRandom({ ...evidence, remaining: 0.9 }), /hardly/);
  assert.equal(sayRandom({ ...evidence, remaining: null }), "");
  const doubt = (deletion: number | null, by_chance: number | null) =>
    sayDoubt({ ...evidence, remaining: null, deletion, deletion_by_chance: by_chance });
  assert.match(doubt(0.4, 0.3), /^Deleting random pixels .* no evidence that the map is right\.$/);
  for (const fine of [doubt(0.3, 0.4), doubt(0.3, 0.3), doubt(null, 0.3), doubt(1, null)])
    assert.equal(fine, "");
  assert.equal(sayDoubt({ ...evidence, remaining: null }), "");
  assert.equal(sayArea(0.12, 0.4, true), "0.120, better than chance 0.400");
  assert.equal(sayArea(0.12, 0.4, false), "0.120, worse than chance 0.400");
  assert.equal(sayArea(0.5, 0.4, true), "0.500, worse than chance 0.400");
  assert.equal(sayArea(0.5, 0.4, false), "0.500, better than chance 0.400");
});
