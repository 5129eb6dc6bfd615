// One self-describing blob for everything that is not plain JSON, in traits and in messages:
//
//   u32 little-endian n | n bytes of JSON {"meta", "arrays": {name: {dtype, shape, offset}}} | arrays
//
// The header is padded so that the arrays start at a multiple of 8; so does every array. The
// Python twin is nbcnnviz/widgets/_codec.py.

const TYPES = {
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  float32: Float32Array,
} as const;

export type DType = keyof typeof TYPES;
export type Data<D extends DType = DType> = InstanceType<(typeof TYPES)[D]>;

export interface NdArray<D extends DType = DType> {
  dtype: D;
  shape: number[];
  data: Data<D>;
}

export interface Packed {
  // biome-ignore lint/suspicious/noExplicitAny: what meta holds is each lane's own contract
  meta: Record<string, any>;
  arrays: Record<string, NdArray>;
}

/** More than any message may hold: a larger figure in a header is nonsense, not data. */
const LIMIT = 256 * 1024 * 1024;

function bad(why: string): never {
  throw new Error(`This data cannot be read: ${why}.`);
}

function bytesOf(view: DataView | ArrayBuffer | Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer = view, byteOffset, byteLength } = view as DataView;
  if (!(byteLength >= 0)) bad("it is not binary");
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** Read a blob. The arrays look into the given memory where alignment allows it, else are copies. */
export function unpack(view: DataView | ArrayBuffer | Uint8Array): Packed {
  const bytes = bytesOf(view);
  if (bytes.length < 4) bad(`it has ${bytes.length} bytes, too few for a header`);
  const n = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const start = 4 + n;
  if (start > bytes.length) bad(`it ends inside its header (${bytes.length} of ${start} bytes)`);
  let header: { meta?: unknown; arrays?: unknown };
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, start)));
  } catch {
    return bad("its header is not JSON");
  }
  if (!isRecord(header) || !isRecord(header.arrays)) bad("its header lists no arrays");
  const arrays: Record<string, NdArray> = {};
  for (const [name, spec] of Object.entries(header.arrays as Record<string, unknown>)) {
    arrays[name] = readArray(bytes, start, name, spec);
  }
  return { meta: isRecord(header.meta) ? header.meta : {}, arrays };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const whole = (x: unknown): x is number => Number.isInteger(x) && (x as number) >= 0;

function readArray(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  name: string,
  spec: unknown,
): NdArray {
  if (!isRecord(spec)) return bad(`array "${name}" has no description`);
  const { dtype, shape, offset } = spec;
  if (typeof dtype !== "string" || !Object.hasOwn(TYPES, dtype)) {
    return bad(`array "${name}" has the unknown type "${dtype}"`);
  }
  if (!Array.isArray(shape) || !shape.every(whole)) return bad(`array "${name}" has no shape`);
  const Type = TYPES[dtype as DType];
  const length = shape.reduce((product: number, side: number) => product * side, 1);
  const size = length * Type.BYTES_PER_ELEMENT;
  if (size > LIMIT) return bad(`array "${name}" claims ${size} bytes`);
  if (!whole(offset) || start + offset + size > bytes.length) {
    return bad(`array "${name}" reaches beyond its end`);
  }
  const from = start + offset;
  // What is not aligned is copied.
  const aligned = (bytes.byteOffset + from) % Type.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset } = aligned ? bytes.subarray(from) : bytes.slice(from, from + size);
  return { dtype: dtype as DType, shape, data: new Type(buffer, byteOffset, length) };
}

/** The array `name` of a blob, checked for its type. */
export function array<D extends DType>(blob: Packed, name: string, dtype: D): NdArray<D> {
  const found = blob.arrays[name];
  if (!found) return bad(`it has no array "${name}"`);
  if (found.dtype !== dtype) return bad(`array "${name}" is ${found.dtype}, not ${dtype}`);
  return found as NdArray<D>;
}

/** Write a blob; the browser only needs this in tests and in the stub model. */
export function pack(
  meta: Record<string, unknown>,
  arrays: Record<string, { shape: number[]; data: Data }> = {},
): Uint8Array {
  const specs: Record<string, { dtype: string; shape: number[]; offset: number }> = {};
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(arrays)) {
    const dtype = data.constructor.name.replace("Array", "").toLowerCase();
    specs[name] = { dtype, shape, offset };
    offset = Math.ceil((offset + data.byteLength) / 8) * 8;
  }
  const header = new TextEncoder().encode(JSON.stringify({ meta, arrays: specs }));
  const start = Math.ceil((4 + header.length) / 8) * 8;
  // Spaces between the header and the arrays.
  const out = new Uint8Array(start + offset).fill(32, 0, start);
  new DataView(out.buffer).setUint32(0, start - 4, true);
  out.set(header, 4);
  for (const [name, { data }] of Object.entries(arrays)) {
    out.set(bytesOf(data as unknown as DataView), start + (specs[name]?.offset ?? 0));
  }
  return out;
}
