import assert from "node:assert/strict";
import { test } from "node:test";
import { facts } from "../src/lib/layers/headline.ts";
import { compact, describeLayer, type LayerRow, marks } from "../src/lib/layers/layer.ts";
import { legendOf } from "../src/lib/layers/legend.ts";
import { filterLayers } from "../src/lib/layers/picker.ts";
import { blockAt, layoutRibbon, THINNEST } from "../src/lib/layers/ribbon_layout.ts";

function row(name: string, more: Partial<LayerRow> = {}): LayerRow {
  const base = { label: name, module: "Conv2d", kind: "conv", leaf: true, shape: [8, 4, 4] };
  const rest = { parameters: 0, field: null, dead: null, saturated: null, nan: 0, inf: 0 };
  return { name, ...base, ...rest, ...more };
}

test("the ribbon shows every layer at least 2 px thick and in order", () => {
  const shapes = Array.from({ length: 430 }, (_, i) => [16 << (i % 7), 112 >> (i % 5), 112]);
  for (const available of [456, 1100, 1500]) {
    const { blocks, width } = layoutRibbon(shapes, available, 36);
    assert.equal(blocks.length, 430);
    blocks.forEach((block, i) => {
      assert.ok(block.width >= THINNEST && block.height >= 4 && block.height <= 36);
      const before = blocks[i - 1];
      if (before) assert.ok(block.x >= before.x + before.width);
    });
    const last = blocks[429];
    assert.ok(last && Math.abs(last.x + last.width - width) < 1e-6);
    assert.ok(width <= available + 1e-6 || width < 430 * (THINNEST + 1));
  }
});

test("blocks are higher for larger maps and thicker for more channels", () => {
  const [small, large, flat] = layoutRibbon([[8, 7, 7], [512, 112, 112], [1000]], 300, 36).blocks;
  assert.ok(small && large && flat);
  assert.ok(large.height > small.height && small.height > flat.height);
  assert.ok(large.width > small.width);
});

test("a place on the ribbon finds its block", () => {
  const layout = layoutRibbon(
    Array.from({ length: 50 }, () => [64, 7, 7]),
    400,
    36,
  );
  layout.blocks.forEach((block, i) => {
    assert.equal(blockAt(layout, block.x + block.width / 2), i);
  });
  assert.equal(blockAt(layoutRibbon([], 400, 36), 3), -1);
});

test("layers are found by all words, in name, module, shape or marks", () => {
  const layers = [
    row("features.0", { shape: [64, 112, 112] }),
    row("features.1", { module: "ReLU", kind: "act", dead: 25 }),
    row("head", { module: "Linear", shape: [10], nan: 3 }),
  ];
  const names = (query: string) => filterLayers(layers, query).map(({ name }) => name);
  assert.deepEqual(names(""), ["features.0", "features.1", "head"]);
  assert.deepEqual(names("FEAT relu"), ["features.1"]);
  assert.deepEqual(names("112"), ["features.0"]);
  assert.deepEqual(names("dead"), ["features.1"]);
  assert.deepEqual(names("nan"), ["head"]);
  assert.deepEqual(names("no such"), []);
});

test("layers are told in words", () => {
  const linear = row("head", { shape: [10], nan: 3, dead: 2.1 });
  assert.deepEqual(marks(linear), ["NaN 3", "dead 2.1 %"]);
  assert.match(describeLayer(linear), /no rows and columns/);
  const words = facts(row("a", { field: [43, 43], parameters: 34_500, nan: 2 }));
  const said = ["Conv2d", "8 x 4 x 4", "sees 43 px", "34.5 k parameters", "NaN 2"];
  assert.deepEqual(
    words.map((fact) => fact.words),
    said,
  );
  assert.deepEqual(
    words.map((fact) => fact.bad === true),
    [false, false, false, false, true],
  );
  assert.deepEqual([compact(999), compact(2_000_000)], ["999", "2 M"]);
});

test("names come before classes: the name itself, its beginning, a part of it, then the rest", () => {
  const layers = [
    row("conv1"),
    row("block.conv2", { kind: "norm", module: "BatchNorm2d" }),
    row("conv2.relu", { module: "ReLU" }),
    row("conv2"),
    row("pool", { label: "pool (call 1 of 2)", module: "MaxPool2d" }),
    row("Other", { module: "Odd" }),
  ];
  const names = (query: string) => filterLayers(layers, query).map(({ name }) => name);
  assert.deepEqual(names("conv2"), ["conv2", "conv2.relu", "block.conv2", "conv1"]);
  assert.deepEqual(names(" CONV2 "), names("conv2"));
  assert.deepEqual(names("pool (call 1 of 2)"), ["pool"]);
  assert.deepEqual(names("o")[0], "Other");
  assert.deepEqual(
    names("  "),
    layers.map(({ name }) => name),
  );
});

test("the legend tells of what is in this network, blocks left out", () => {
  const layers = [
    row("b", { kind: "merge", leaf: false, nan: 3 }),
    row("c", { kind: "attention" }),
    row("a", { kind: "act", dead: 3 }),
    row("d"),
  ];
  assert.deepEqual(legendOf(layers), ["conv", "act", "other", "dead"]);
  assert.deepEqual(legendOf([row("x", { inf: 1 })]), ["conv", "NaN"]);
  assert.deepEqual(legendOf([]), []);
});
