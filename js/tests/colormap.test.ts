import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  codeLut,
  DIVERGING,
  decode,
  displayRange,
  entry,
  NAMES,
  NAN_RGBA,
  resolve,
  type Scale,
  table,
} from "../src/lib/colormap.ts";

/** Entries 0..255 as colours, so that a LUT shows which entry each code takes. */
const ENTRIES = Uint32Array.from({ length: 256 }, (_, i) => i + 1);

test("5,000 display ranges: the same entries as nbcnnviz/colormaps.py, to the byte", () => {
  // The Python side: the same generator of numbers, display_range and indices, one sha256.
  let state = 12345;
  const next = (): number => {
    state = Number((1664525n * BigInt(state) + 1013904223n) % 4294967296n);
    return state;
  };
  const value = (): number => {
    const m = next();
    return Math.fround((m - 2 ** 31) / 2 ** (next() >>> 27));
  };
  const pair = (): [number, number] => {
    const [a, b] = [value(), value()];
    return a < b ? [a, b] : [b, a];
  };
  const digest = createHash("sha256");
  for (let i = 0; i < 5000; i += 1) {
    const [lo, hi] = pair();
    const [x, y] = pair();
    const [low, high] = [Math.min(lo, x), Math.max(hi, y)];
    const [a, b] = [
      [lo, hi],
      displayRange(lo, hi, "map", true, x, y),
      displayRange(lo, hi, "layer", false, low, high),
      displayRange(lo, hi, "symmetric", false, low, high),
      [x, y],
    ][i % 5] as [number, number];
    const lut = codeLut(lo, hi, a, b, ENTRIES);
    digest.update(Uint8Array.from(lut.subarray(0, 255), (e) => e - 1));
  }
  assert.equal(
    digest.digest("hex"),
    "559ae12ba767ffd2aae41e71015de10c0ec9d8368d80d5f6e5f5d192ede52682",
  );
});

test("the tables are matplotlib's", () => {
  const expected: Record<string, string> = {
    viridis: "96a1f6f37d4041f9",
    magma: "e2e7c21b2cdebd6f",
    inferno: "8092f65256023cef",
    cividis: "8a6c6bf382be7cc3",
    gray: "c15598e2bf5c6ff3",
    RdBu_r: "dc2f97fae8e1ee24",
    coolwarm: "161fad279ef7b15f",
    PuOr_r: "c7905e5200af2250",
  };
  assert.deepEqual([...NAMES].sort(), Object.keys(expected).sort());
  for (const name of NAMES) {
    const rgba = new Uint8Array(table(name).buffer);
    const rgb = rgba.filter((_, i) => i % 4 !== 3);
    assert.ok(rgba.every((byte, i) => i % 4 !== 3 || byte === 255));
    const said = createHash("sha256").update(rgb).digest("hex").slice(0, 16);
    assert.equal(said, expected[name], name);
  }
  const viridis = new Uint8Array(table("viridis").buffer);
  assert.deepEqual([...viridis.subarray(0, 4)], [68, 1, 84, 255]);
  assert.deepEqual([...viridis.subarray(1020)], [253, 231, 36, 255]);
});

test("entry: ends, middle, empty range, extremes", () => {
  assert.equal(entry(0, 0, 1), 0);
  assert.equal(entry(1, 0, 1), 255);
  assert.equal(entry(0.5, 0, 1), 128);
  assert.equal(entry(Math.fround(0.49999997), 0, 1), 127);
  assert.equal(entry(-5, 0, 1), 0);
  assert.equal(entry(7, 0, 1), 255);
  assert.equal(entry(3, 3, 3), 0);
  assert.equal(entry(3, 4, 2), 0);
  assert.equal(entry(0, -3.4e38, 3.4e38), 128);
});

test("a constant map takes one entry, NaN its own colour", () => {
  const lut = codeLut(2, 2, 0, 4, ENTRIES);
  assert.equal(lut[0], 129);
  assert.equal(lut[254], 129);
  assert.equal(lut[255], NAN_RGBA);
  assert.ok(![...table("gray")].includes(NAN_RGBA));
});

test("a range as wide as float32 stays finite", () => {
  const lut = codeLut(-3.4e38, 3.4e38, -3.4e38, 3.4e38, ENTRIES);
  assert.equal(lut[0], 1);
  assert.equal(lut[127], 129);
  assert.equal(lut[254], 256);
});

test("decode is the inverse of quantising to half a step", () => {
  assert.equal(decode(0, -2, 3), -2);
  assert.equal(decode(254, -2, 3), 3);
  assert.equal(decode(127, -2, 3), 0.5);
  assert.ok(Number.isNaN(decode(255, -2, 3)));
});

test("display ranges", () => {
  const range = (scale: Scale, diverging: boolean): [number, number] =>
    displayRange(0.5, 2, scale, diverging, -3, 5);
  assert.deepEqual(range("map", false), [0.5, 2]);
  assert.deepEqual(range("map", true), [-2, 2]);
  assert.deepEqual(range("layer", false), [-3, 5]);
  assert.deepEqual(range("layer", true), [-5, 5]);
  assert.deepEqual(range("symmetric", false), [-5, 5]);
});

test("auto follows the sign; unknown names fall back", () => {
  assert.equal(resolve("auto", false), "viridis");
  assert.equal(resolve("auto", true), "RdBu_r");
  assert.equal(resolve("magma", true), "magma");
  assert.equal(resolve("toString", false), "viridis");
  for (const name of DIVERGING) assert.ok(NAMES.includes(name));
});

test("256 maps of 56 x 56 in another colour: under 16 ms", () => {
  const codes = new Uint8Array(256 * 56 * 56).map((_, i) => (i * 2654435761) >>> 24);
  const pixels = new Uint32Array(codes.length);
  const lut = new Uint32Array(256);
  const paint = (name: string): number => {
    const begin = performance.now();
    const colours = table(name);
    for (let map = 0; map < 256; map += 1) {
      codeLut(-map, map + 1, -256, 256, colours, lut);
      const end = (map + 1) * 3136;
      for (let i = map * 3136; i < end; i += 1) pixels[i] = lut[codes[i] as number] as number;
    }
    return performance.now() - begin;
  };
  const times = Array.from({ length: 15 }, (_, i) => paint(NAMES[i % NAMES.length] as string));
  const median = times.sort((a, b) => a - b)[7] as number;
  assert.ok(median < 16, `${median.toFixed(1)} ms`);
});
