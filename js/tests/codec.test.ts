import assert from "node:assert/strict";
import { test } from "node:test";
import { array, pack, unpack } from "../src/lib/codec.ts";
import { chance } from "./helpers.ts";

const arrays = {
  codes: { shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 255) },
  rows: { shape: [1, 2], data: Int16Array.of(-7, 300) },
  wide: { shape: [1], data: Uint16Array.of(65535) },
  channels: { shape: [3], data: Int32Array.of(-1, 0, 2 ** 31 - 1) },
  lo: { shape: [3], data: Float32Array.of(0.5, Number.NaN, Number.NEGATIVE_INFINITY) },
  none: { shape: [0, 4], data: new Uint8Array(0) },
};

/** What nbcnnviz/widgets/_codec.py writes for {"a": "é"} with x int16 [1, -2] and y float32 [0.5]. */
const FROM_PYTHON =
  "hAAAAHsibWV0YSI6eyJhIjoiXHUwMGU5In0sImFycmF5cyI6eyJ4Ijp7ImR0eXBlIjoiaW50MTYiLCJzaGFwZSI6WzJdLCJvZmZzZXQiOjB9LCJ5Ijp7ImR0eXBlIjoiZmxvYXQzMiIsInNoYXBlIjpbMV0sIm9mZnNldCI6OH19fSAgICAgIAEA/v8AAAAAAAAAPwAAAAA=";

test("reads what the Python end writes", () => {
  const blob = unpack(Uint8Array.from(Buffer.from(FROM_PYTHON, "base64")));
  assert.deepEqual(blob.meta, { a: "é" });
  assert.deepEqual([...array(blob, "x", "int16").data], [1, -2]);
  assert.deepEqual([...array(blob, "y", "float32").data], [0.5]);
});

test("round trip, at every byte offset, through every kind of view", () => {
  const meta = { name: "conv1 — ⚡", list: [1, null], signed: true };
  const packed = pack(meta, arrays);
  for (let offset = 0; offset < 16; offset += 1) {
    const memory = new Uint8Array(packed.length + 32).fill(170);
    memory.set(packed, offset);
    const bytes = memory.subarray(offset, offset + packed.length);
    const view = new DataView(memory.buffer, offset, packed.length);
    for (const given of [bytes, view, memory.buffer.slice(offset, offset + packed.length)]) {
      const out = unpack(given);
      assert.deepEqual(out.meta, meta);
      for (const [name, { shape, data }] of Object.entries(arrays)) {
        assert.deepEqual(out.arrays[name]?.shape, shape);
        assert.deepEqual(out.arrays[name]?.data, data);
        assert.equal(out.arrays[name]?.data.constructor, data.constructor);
      }
    }
  }
});

test("aligned arrays are not copied", () => {
  const packed = pack({}, arrays);
  assert.equal(unpack(packed).arrays.lo?.data.buffer, packed.buffer);
});

test("every truncation is an error in plain words", () => {
  const packed = pack({ a: 1 }, { x: { shape: [4], data: Int32Array.of(1, 2, 3, 4) } });
  for (let length = 0; length < packed.length; length += 1) {
    assert.throws(() => unpack(packed.slice(0, length)), /^Error: This data cannot be read: /);
  }
});

test("random damage is an error or a result, never a hang or a foreign exception", () => {
  const random = chance(7);
  const packed = pack({ a: 1 }, arrays);
  for (let run = 0; run < 2000; run += 1) {
    const copy = packed.slice();
    for (let k = 0; k < 3; k += 1) {
      copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
    }
    try {
      unpack(copy);
    } catch (error) {
      assert.match(String(error), /^Error: This data cannot be read: /);
    }
  }
});

function withHeader(json: string, length = new TextEncoder().encode(json).length): Uint8Array {
  const header = new TextEncoder().encode(json);
  const out = new Uint8Array(4 + header.length + 64);
  new DataView(out.buffer).setUint32(0, length, true);
  out.set(header, 4);
  return out;
}

test("nonsense in the header is refused before memory is taken", () => {
  const spec = (over: object): string =>
    JSON.stringify({ meta: {}, arrays: { x: { dtype: "uint8", shape: [1], offset: 0, ...over } } });
  const cases: Array<[string, RegExp]> = [
    [spec({ shape: [1e9, 1e9] }), /claims/],
    [spec({ shape: [-1] }), /no shape/],
    [spec({ shape: [1.5] }), /no shape/],
    [spec({ shape: "1" }), /no shape/],
    [spec({ offset: -8 }), /beyond its end/],
    [spec({ offset: 1e9 }), /beyond its end/],
    [spec({ dtype: "float64" }), /unknown type "float64"/],
    [spec({ dtype: "toString" }), /unknown type/],
    ['{"meta":{}}', /lists no arrays/],
    ["[1]", /lists no arrays/],
    ["nope", /not JSON/],
  ];
  for (const [json, message] of cases) assert.throws(() => unpack(withHeader(json)), message);
  assert.throws(() => unpack(withHeader("{}", 2 ** 32 - 1)), /ends inside its header/);
  assert.throws(() => unpack("text" as unknown as Uint8Array), /not binary/);
});

test("array() names what is missing or of another type", () => {
  const blob = unpack(pack({}, arrays));
  assert.equal(array(blob, "lo", "float32").data[0], 0.5);
  assert.throws(() => array(blob, "hi", "float32"), /no array "hi"/);
  assert.throws(() => array(blob, "lo", "uint8"), /"lo" is float32, not uint8/);
});
