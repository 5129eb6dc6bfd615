// A selection as it crosses the wire: bit i of byte i >> 3, the lowest first.

/** One byte a point, 0 or 1, packed. */
export function packBits(flags: Uint8Array) {
  const bits = new Uint8Array((flags.length + 7) >> 3);
  for (let i = 0; i < flags.length; i++) {
    if (flags[i]) bits[i >> 3] = (bits[i >> 3] as number) | (1 << (i & 7));
  }
  return bits;
}

/** The same unpacked, for `count` points; bits that are missing are 0. */
export function unpackBits(bits: Uint8Array, count: number) {
  const flags = new Uint8Array(count);
  for (let i = 0; i < count; i++) flags[i] = ((bits[i >> 3] ?? 0) >> (i & 7)) & 1;
  return flags;
}

export function countOf(flags: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < flags.length; i++) count += flags[i] as number;
  return count;
}

/** At most `most` of the flagged, drawn evenly. */
export function evenly(flags: Uint8Array, most: number): number[] {
  const count = countOf(flags);
  const take = Math.min(count, most);
  const found: number[] = [];
  let rank = 0;
  for (let i = 0; i < flags.length && found.length < take; i++) {
    if (!flags[i]) continue;
    // Of `count` in a row those at 0, count / take, 2 count / take, ...
    if (rank >= Math.floor((found.length * count) / take)) found.push(i);
    rank += 1;
  }
  return found;
}
