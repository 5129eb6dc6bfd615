// Pooling one map, against a slow second implementation; windows and their cells; what is said.

import assert from "node:assert/strict";
import { test } from "node:test";
import { divisor, pool, sides } from "../src/pooling/pool.ts";
import { arithmetic, describe, type How, type Pair, problem } from "../src/pooling/settings.ts";
import { readersOf, windowAt } from "../src/pooling/windows.ts";
import { chance } from "./helpers.ts";

const PLAIN: How = {
  op: "max",
  window: [2, 2],
  stride: [2, 2],
  padding: [0, 0],
  dilation: [1, 1],
  ceil_mode: false,
  count_include_pad: true,
  divisor_override: null,
};
const how = (what: Partial<How>): How => ({ ...PLAIN, ...what });

/** Settings and sizes of all kinds, those that cannot be among them. */
function* cases(seed: number, count: number): Generator<{ size: Pair; how: How }> {
  const random = chance(seed);
  const below = (n: number) => Math.floor(random() * n);
  const two = (least: number, most: number): Pair => [
    least + below(most - least + 1),
    least + below(most - least + 1),
  ];
  for (let i = 0; i < count; i++) {
    const op = (["max", "avg", "l2"] as const)[i % 3] ?? "max";
    const chosen = how({
      op,
      window: two(1, 5),
      stride: two(1, 4),
      padding: two(0, 2),
      dilation: two(1, 3),
      ceil_mode: random() < 0.5,
      count_include_pad: random() < 0.5,
      divisor_override: random() < 0.2 ? 7 : null,
    });
    yield { size: two(1, 13), how: chosen };
  }
}

function noise(size: Pair, seed: number, levels = 0): Float32Array {
  const random = chance(seed);
  const value = () => (levels ? Math.floor(random() * levels) : 2 * random() - 1);
  return Float32Array.from({ length: size[0] * size[1] }, value);
}

/** Word for word what the documentation of PyTorch says, cell by cell. */
function slowly(map: Float32Array, size: Pair, set: How) {
  const [rows, columns] = arithmetic(size, set);
  const values: number[] = [];
  const indices: number[] = [];
  for (let y = 0; y < rows.size; y++) {
    for (let x = 0; x < columns.size; x++) {
      const [top, left] = [y * set.stride[0] - set.padding[0], x * set.stride[1] - set.padding[1]];
      let best = Number.NEGATIVE_INFINITY;
      let index = -1;
      let [sum, inside, padded] = [0, 0, 0];
      for (let i = 0; i < set.window[0]; i++) {
        for (let j = 0; j < set.window[1]; j++) {
          const [row, column] = [top + i * set.dilation[0], left + j * set.dilation[1]];
          if (row < size[0] + set.padding[0] && column < size[1] + set.padding[1]) padded++;
          if (row < 0 || column < 0 || row >= size[0] || column >= size[1]) continue;
          const value = map[row * size[1] + column] as number;
          inside++;
          sum += set.op === "l2" ? value ** 2 : value;
          if (index < 0 || value > best || Number.isNaN(value)) {
            best = value;
            index = row * size[1] + column;
          }
        }
      }
      indices.push(index);
      const counted = set.count_include_pad ? padded : inside;
      const by = set.divisor_override ?? counted;
      if (set.op === "max") values.push(best);
      if (set.op === "avg") values.push(sum / by);
      const full = set.window[0] * set.window[1];
      if (set.op === "l2") values.push(Math.sqrt((sum / padded) * full));
    }
  }
  return { values: Float32Array.from(values), indices: Int32Array.from(indices) };
}

test("all settings give what a slow implementation gives", () => {
  let legal = 0;
  for (const { size, how: set } of cases(1, 3000)) {
    if (problem(size, set)) continue;
    legal++;
    // Few levels: many equal values, of which the first has to win.
    const map = noise(size, legal, set.op === "max" ? 4 : 0);
    const found = pool(map, size[0], size[1], set);
    const wanted = slowly(map, size, set);
    assert.equal(found.height * found.width, wanted.values.length);
    if (set.op === "max") {
      assert.deepEqual(found.values, wanted.values);
      assert.deepEqual(found.indices, wanted.indices);
    } else {
      assert.equal(found.indices, null);
      found.values.forEach((value, i) => {
        const other = wanted.values[i] as number;
        assert.ok(Math.abs(value - other) <= 1e-6 * Math.max(1e-3, Math.abs(other)));
      });
    }
  }
  assert.ok(legal > 800, `${legal} legal cases`);
});

test("NaN wins, the last one over the others; -Infinity has a place too", () => {
  const { NaN: nan, NEGATIVE_INFINITY: low } = Number;
  const map = Float32Array.of(nan, 1, 2, nan, low, low, low, low);
  const four = pool(map, 2, 4, how({ window: [1, 4], stride: [1, 4] }));
  assert.deepEqual([...four.values], [nan, low]);
  assert.deepEqual([...(four.indices ?? [])], [3, 4]);
  const mean = pool(map, 2, 4, how({ op: "avg" }));
  assert.ok(mean.values.every((value) => Number.isNaN(value) || value === low));
});

test("global pooling is one window, the map", () => {
  const map = noise([5, 7], 3);
  const most = pool(map, 5, 7, how({ op: "global_max", window: [9, 9] }));
  assert.deepEqual([...most.values], [Math.max(...map)]);
  assert.deepEqual([...(most.indices ?? [])], [map.indexOf(Math.max(...map))]);
  const mean = pool(map, 5, 7, how({ op: "global_avg", divisor_override: 3 }));
  const wanted = map.reduce((sum, value) => sum + value, 0) / 35;
  assert.ok(Math.abs((mean.values[0] as number) - wanted) < 1e-7);
});

test("a window's cells have it among theirs, and no other cells do", () => {
  for (const { size, how: set } of cases(5, 300)) {
    if (problem(size, set)) continue;
    const both = sides(size, set);
    const read = new Map<string, string[]>();
    for (let y = 0; y < both[0].size; y++) {
      for (let x = 0; x < both[1].size; x++) {
        const window = windowAt(both, { y, x });
        const inside = window.rows.flatMap((row) =>
          window.columns
            .filter((column) => row >= 0 && row < size[0] && column >= 0 && column < size[1])
            .map((column) => `${row},${column}`),
        );
        assert.equal(window.count, inside.length);
        const [top, left, height, width] = window.box;
        const rows = inside.map((cell) => Number(cell.split(",")[0]));
        const columns = inside.map((cell) => Number(cell.split(",")[1]));
        assert.deepEqual(
          [top, left, top + height - 1, left + width - 1],
          [Math.min(...rows), Math.min(...columns), Math.max(...rows), Math.max(...columns)],
        );
        for (const cell of inside) read.set(cell, [...(read.get(cell) ?? []), `${y},${x}`]);
      }
    }
    for (let y = 0; y < size[0]; y++) {
      for (let x = 0; x < size[1]; x++) {
        const readers = readersOf(both, { y, x }).map((cell) => `${cell.y},${cell.x}`);
        assert.deepEqual(readers, read.get(`${y},${x}`) ?? []);
      }
    }
  }
});

test("the arithmetic is spelled out", () => {
  const resnet = how({ window: [3, 3], padding: [1, 1] });
  const [rows] = arithmetic([112, 112], resnet);
  assert.equal(rows.formula, "floor((112 + 2*1 - 3)/2) + 1 = 56");
  assert.equal(rows.unread, 0);
  const [uneven] = arithmetic([5, 5], how({}));
  assert.deepEqual([uneven.size, uneven.unread], [2, 1]);
  const ceil = how({ ceil_mode: true, window: [2, 2], padding: [1, 1] });
  const [left] = arithmetic([4, 4], ceil);
  assert.equal(left.formula, "ceil((4 + 2*1 - 2)/2) + 1 = 3");
  const [dropped] = arithmetic(
    [3, 3],
    how({ ceil_mode: true, window: [2, 2], padding: [1, 1], stride: [4, 4] }),
  );
  assert.equal(dropped.formula, "ceil((3 + 2*1 - 2)/4) + 1 - 1 = 1");
  assert.equal(dropped.dropped, true);
  const wide = arithmetic([9, 9], how({ dilation: [2, 2], window: [3, 3] }))[0];
  assert.equal(wide.formula, "floor((9 + 2*0 - (2*(3 - 1) + 1))/2) + 1 = 3");
});

test("what cannot be says why, and which setting is to blame", () => {
  const said = (size: Pair, what: Partial<How>) => problem(size, how(what));
  assert.equal(said([8, 8], {}), null);
  assert.deepEqual(said([5, 5], { padding: [2, 2] }), {
    field: "padding",
    text: "padding=2: more than half of window=2; give at most 1",
  });
  assert.deepEqual(said([4, 6], { window: [5, 2] }), {
    field: "window",
    text: "window=(5, 2): larger than the maps, 4 rows with 0 of padding; give a window of at most 4",
  });
  assert.deepEqual(said([4, 4], { window: [3, 3], dilation: [3, 3] }), {
    field: "window",
    text: "window=3 with dilation=3 spans 7: larger than the maps, 4 rows with 0 of padding; give a window of at most 2",
  });
  assert.deepEqual(
    said([1, 1], { window: [2, 2], padding: [1, 1], dilation: [2, 2], stride: [1, 1] }),
    {
      field: "dilation",
      text: "dilation=2: with padding=1 a window reads only padding, as the maps have 1 row; give padding=0 or less dilation",
    },
  );
  assert.equal(said([8, 8], { stride: [0, 1] })?.text, "stride=(0, 1): give at least 1");
  assert.equal(said([8, 8], { op: "avg", divisor_override: 0 })?.field, "divisor_override");
  assert.equal(said([2, 2], { op: "global_avg", window: [9, 9] }), null);
});

test("divisors count what averages count", () => {
  const set = how({ op: "avg", window: [3, 3], padding: [1, 1], stride: [2, 2], ceil_mode: true });
  const both = sides([4, 4], set);
  assert.equal(divisor(both, set, 0, 0), 9);
  // The last window reaches one cell beyond the padding.
  assert.equal(divisor(both, set, 2, 2), 4);
  assert.equal(divisor(both, { ...set, count_include_pad: false }, 0, 0), 4);
  assert.equal(divisor(both, { ...set, divisor_override: 5 }, 0, 0), 5);
});

test("a pooling in few words", () => {
  assert.equal(describe({ ...how({ window: [3, 3] }), output: null }), "max 3 x 3 / 2");
  assert.equal(describe({ ...how({ stride: [2, 1] }), output: null }), "max 2 x 2 / 2 x 1");
  assert.equal(describe({ op: "global_avg", window: [7, 7], stride: null }), "global avg");
  assert.equal(
    describe({ op: "adaptive_avg", window: null, stride: null, output: [6, 6] }),
    "adaptive avg to 6 x 6",
  );
});

test("112 x 112 in a frame", () => {
  const map = noise([112, 112], 9);
  const slowest = how({ window: [12, 12], stride: [1, 1], padding: [6, 6] });
  pool(map, 112, 112, slowest);
  const start = performance.now();
  for (let i = 0; i < 3; i++) pool(map, 112, 112, slowest);
  assert.ok((performance.now() - start) / 3 < 16 * 3, "three frames at most, on a busy machine");
});
