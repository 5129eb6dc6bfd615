import assert from "node:assert/strict";
import { test } from "node:test";
import { codeLut, table } from "../src/lib/colormap.ts";
import { colourise, HATCH, quantise, sampled, samplingStep } from "../src/lib/tiles.ts";

const colours = table("viridis");
const lut = codeLut(0, 254, 0, 254, colours);

test("each code takes its colour, NaN the hatch", () => {
  const out = new Uint32Array(6);
  colourise(Uint8Array.of(0, 255, 255, 254, 7, 255), 3, 2, lut, out);
  assert.deepEqual([...out], [lut[0], HATCH[1], HATCH[0], lut[254], lut[7], HATCH[1]]);
});

test("a map goes to its own place in the atlas and touches nothing else", () => {
  const out = new Uint32Array(5 * 4).fill(1);
  colourise(Uint8Array.of(9, 9, 9, 9), 2, 2, lut, out, 5 + 2, 5);
  const changed = [...out.keys()].filter((i) => out[i] !== 1);
  assert.deepEqual(changed, [7, 8, 12, 13]);
});

test("small tiles take every step-th cell, from the middle", () => {
  const codes = Uint8Array.from({ length: 6 * 6 }, (_, i) => i);
  const out = new Uint32Array(4);
  assert.equal(sampled(6, 3), 2);
  colourise(codes, 6, 6, lut, out, 0, 2, 3);
  assert.deepEqual([...out], [lut[7], lut[10], lut[25], lut[28]]);
});

test("never fewer cells than pixels, never twice as many", () => {
  for (let cells = 1; cells < 130; cells++) {
    for (const pixels of [1, 7, 32, 48, 112, 200]) {
      const step = samplingStep(cells, pixels);
      const left = sampled(cells, step);
      if (cells >= pixels) assert.ok(left >= pixels && left < 2 * pixels + 1, `${cells} ${pixels}`);
      else assert.equal(left, cells);
    }
  }
});

test("quantising brings every value back within half a step", () => {
  const values = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i) * 40 - 3);
  const { codes, lo, hi } = quantise(values);
  values.forEach((value, i) => {
    const back = lo + ((codes[i] as number) * (hi - lo)) / 254;
    assert.ok(Math.abs(back - value) <= (hi - lo) / 508 + 1e-4);
  });
});

test("what is not a finite number has its place", () => {
  const { codes, lo, hi } = quantise(Float32Array.of(1, Number.NaN, Infinity, -Infinity, 3));
  assert.deepEqual([[...codes], lo, hi], [[0, 255, 254, 0, 254], 1, 3]);
  assert.deepEqual(quantise(Float32Array.of(Number.NaN)), {
    codes: Uint8Array.of(255),
    lo: 0,
    hi: 0,
  });
  assert.deepEqual([...quantise(Float32Array.of(5, 5)).codes], [0, 0]);
  const wide = quantise(Float32Array.of(-3e38, 3e38, 0));
  assert.deepEqual([...wide.codes], [0, 254, 127]);
});
