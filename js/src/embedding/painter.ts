// What draws the points. Two do: painter_gl.ts on the graphics card, painter_flat.ts without one.

import type { Camera, Frame } from "./camera.ts";
import type { Rgb } from "./palette.ts";

/** What is to be seen; all arrays have one entry for each point, `xy` two. */
export interface Scene {
  /** -1..1, NaN for a point that is nowhere. */
  xy: Float32Array;
  /** Places in `colours`. */
  codes: Uint16Array;
  colours: readonly Rgb[];
  /** As in states.ts. */
  states: Uint8Array;
  background: Rgb;
}

export interface Painter {
  readonly kind: "webgl" | "flat";
  /** Show a scene; the points take `ms` to get there. */
  show(scene: Scene, ms: number): void;
  look(camera: Camera, frame: Frame): void;
  end(): void;
}

/** The diameter of points in CSS pixels; they grow a little as one comes near. */
export function pointSize(count: number, zoom: number): number {
  const base =
    count > 300_000 ? 1.5 : count > 50_000 ? 2.5 : count > 8000 ? 3.5 : count > 1200 ? 5 : 8;
  return base * Math.min(2.5, Math.max(1, zoom) ** 0.3);
}

/** Of many points that lie upon one another each covers less. */
export function opacity(count: number): number {
  return count > 300_000 ? 0.45 : count > 50_000 ? 0.6 : count > 8000 ? 0.75 : 0.9;
}

/** How strong a dim point is, as a share of that. */
export const FAINT = 0.16;
export const LARGER = 1.3;

/** Every point once, in no order: no class lies over another one for coming later in the data. The
 * lit ones come last. */
export function drawingOrder(count: number, states: Uint8Array): Uint32Array {
  const mixed = new Uint32Array(count);
  let state = 0x9e3779b9;
  for (let i = 0; i < count; i++) {
    // xorshift32: the same order for everyone, always.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    mixed[i] = mixed[j] as number;
    mixed[j] = i;
  }
  const lit = (i: number) => states[i] === 1;
  const out = new Uint32Array(count);
  let k = 0;
  for (const i of mixed) if (!lit(i)) out[k++] = i;
  for (const i of mixed) if (lit(i)) out[k++] = i;
  return out;
}
