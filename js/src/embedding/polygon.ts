// Which points lie in a polygon, by the even-odd rule, as matplotlib.path has it to the last bit:
// both cross a ray to the right with the sides (E. Haines, Graphics Gems IV, 1994).

/** Corners x0, y0, x1, y1, ...; the last is joined to the first. */
export type Polygon = ArrayLike<number>;

export function inside(polygon: Polygon, x: number, y: number): boolean {
  const corners = polygon.length >> 1;
  if (corners < 3) return false;
  let within = false;
  let x0 = polygon[2 * corners - 2] as number;
  let y0 = polygon[2 * corners - 1] as number;
  let above = y0 >= y;
  for (let k = 0; k < corners; k++) {
    const x1 = polygon[2 * k] as number;
    const y1 = polygon[2 * k + 1] as number;
    const next = y1 >= y;
    if (above !== next && (y1 - y) * (x0 - x1) >= (x1 - x) * (y0 - y1) === next) within = !within;
    above = next;
    x0 = x1;
    y0 = y1;
  }
  return within;
}

/** The corners around: x0, y0, x1, y1. */
export function bounds(polygon: Polygon): [number, number, number, number] {
  const around: [number, number, number, number] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let k = 0; k + 1 < polygon.length; k += 2) {
    const [x, y] = [polygon[k] as number, polygon[k + 1] as number];
    if (x < around[0]) around[0] = x;
    if (y < around[1]) around[1] = y;
    if (x > around[2]) around[2] = x;
    if (y > around[3]) around[3] = y;
  }
  return around;
}

/** Flags of the points in a polygon; `place` gives one as [x, y]. */
export function pointsInside(
  polygon: Polygon,
  count: number,
  place: (i: number, at: Float64Array) => void,
): Uint8Array {
  const flags = new Uint8Array(count);
  const [left, bottom, right, top] = bounds(polygon);
  const at = new Float64Array(2);
  for (let i = 0; i < count; i++) {
    place(i, at);
    const [x, y] = at as unknown as [number, number];
    if (x >= left && x <= right && y >= bottom && y <= top && inside(polygon, x, y)) flags[i] = 1;
  }
  return flags;
}
