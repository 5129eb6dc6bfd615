// Arrow keys on pictures.

import { arrow, clamp, take } from "../lib/small.ts";
import type { Pixel } from "./session.ts";

/** Where an arrow key leads from a pixel of a picture; null for other keys, and for the host's. */
export function moved(
  event: KeyboardEvent,
  { y, x }: Pixel,
  [height, width]: readonly [number, number],
  step: number,
): Pixel | null {
  const way = arrow(event);
  if (!way) return null;
  take(event);
  const to = (from: number, by: number, side: number) => clamp(from + by * step, 0, side - 1);
  return { y: to(y, way[0], height), x: to(x, way[1], width) };
}
