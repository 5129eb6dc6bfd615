import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, percent, plural, shape, three } from "../src/lib/format.ts";
import { chance } from "./helpers.ts";

test("three significant digits", () => {
  const cases: Array<[number | null, string]> = [
    [0.831, "0.831"],
    [2.41, "2.41"],
    [12.3, "12.3"],
    [0.8, "0.800"],
    [1, "1"],
    [0, "0"],
    [-0, "0"],
    [144, "144"],
    [999.9, "1000"],
    [1239.6, "1240"],
    [99_940, "99940"],
    [0.0012345, "0.00123"],
    [1.24e-5, "1.24e-5"],
    [-1.24e-5, "-1.24e-5"],
    [3.4e38, "3.40e38"],
    [99_960, "1.00e5"],
    [1.5e-45, "1.50e-45"],
    [Number.NaN, "NaN"],
    [null, "NaN"],
    [Number.POSITIVE_INFINITY, "∞"],
    [Number.NEGATIVE_INFINITY, "-∞"],
  ];
  for (const [x, expected] of cases) assert.equal(three(x), expected, String(x));
});

test("three() is right to half a unit in the third digit, and short", () => {
  const random = chance(1);
  for (let i = 0; i < 20_000; i += 1) {
    const x = (random() - 0.5) * 10 ** (random() * 80 - 40);
    const said = three(x);
    assert.ok(Math.abs(Number(said) - x) <= Math.abs(x) * 0.00501, `${x} as ${said}`);
    assert.ok(said.length <= 9, said);
  }
});

test("shapes, shares, sizes, counts, times", () => {
  assert.equal(shape([64, 56, 56]), "64 x 56 x 56");
  assert.equal(shape([10]), "10");
  assert.equal(percent(0.021), "2.1 %");
  assert.equal(percent(1), "100 %");
  assert.equal(percent(0), "0 %");
  assert.equal(percent(0.0004), "< 0.1 %");
  assert.equal(percent(0.9997), "100 %");
  assert.equal(percent(null), "n/a");
  assert.equal(bytes(999), "999 B");
  assert.equal(bytes(4_200_000), "4.20 MB");
  assert.equal(bytes(999_600), "1.00 MB");
  assert.equal(plural(1, "channel"), "1 channel");
  assert.equal(plural(0, "channel"), "0 channels");
  assert.equal(plural(2, "class", "classes"), "2 classes");
  assert.equal(duration(25.4), "25 ms");
  assert.equal(duration(1240), "1.2 s");
  assert.equal(duration(180_000), "3 min");
});
