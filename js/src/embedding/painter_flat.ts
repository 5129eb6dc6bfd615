// The points without a graphics card: every pixel of every point by hand, which for the points of a
// saved notebook is fast enough.

import { type Camera, type Frame, toScreen, WHOLE } from "./camera.ts";
import {
  drawingOrder,
  FAINT,
  LARGER,
  opacity,
  type Painter,
  pointSize,
  type Scene,
} from "./painter.ts";
import { DIM, HIDDEN, LIT } from "./states.ts";

/** A disc of a point: which pixels it covers, and how much of them. */
interface Stamp {
  side: number;
  cover: Float32Array;
}

export function createFlatPainter(stage: HTMLCanvasElement): Painter {
  let scene: Scene | null = null;
  let order = new Uint32Array() as Uint32Array;
  let camera: Camera = WHOLE;
  let frame: Frame = { width: 0, height: 0 };
  let from: Float32Array | null = null;
  let flight = { begin: 0, ms: 0 };
  let request = 0;
  return { kind: "flat", show, look, end };

  function show(next: Scene, ms: number): void {
    const { length } = next.codes;
    from = ms > 0 && scene?.codes.length === length ? places(performance.now()) : null;
    flight = { begin: performance.now(), ms };
    scene = next;
    order = drawingOrder(length, next.states);
    later();
  }

  function look(next: Camera, size: Frame): void {
    camera = next;
    frame = size;
    later();
  }

  function end(): void {
    cancelAnimationFrame(request);
    scene = null;
  }

  function later(): void {
    request ||= requestAnimationFrame((now) => {
      request = 0;
      paint(now);
      if (from && now < flight.begin + flight.ms) later();
      else from = null;
    });
  }

  /** Where the points are on their way. */
  function places(now: number): Float32Array {
    const { xy } = scene as Scene;
    if (!from) return xy;
    const start = from;
    const t = Math.min(1, Math.max(0, (now - flight.begin) / flight.ms));
    const gone = t * t * (3 - 2 * t);
    return xy.map((to, k) => (start[k] as number) + gone * (to - (start[k] as number)));
  }

  function paint(now: number): void {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(frame.width * ratio), Math.round(frame.height * ratio)];
    if (!width || !height) return;
    stage.width = width;
    stage.height = height;
    const context = stage.getContext("2d");
    if (!context || !scene) return;
    const image = context.createImageData(width, height);
    const { background, codes, colours, states } = scene;
    const [r, g, b] = background;
    new Uint32Array(image.data.buffer).fill(0xff000000 | (b << 16) | (g << 8) | r);
    const strong = opacity(codes.length);
    const small = stamp(pointSize(codes.length, camera.zoom) * ratio);
    const large = stamp(pointSize(codes.length, camera.zoom) * LARGER * ratio);
    const xy = places(now);
    for (const i of order) {
      const state = states[i] as number;
      const spot = { x: xy[2 * i] as number, y: xy[2 * i + 1] as number };
      if (state === HIDDEN || Number.isNaN(spot.x)) continue;
      const { x, y } = toScreen(spot, camera, frame);
      const share = state === LIT ? 1 : state === DIM ? strong * FAINT : strong;
      const colour = colours[codes[i] as number] ?? background;
      put(image, state === LIT ? large : small, x * ratio, y * ratio, colour, share);
    }
    context.putImageData(image, 0, 0);
  }
}

function stamp(diameter: number): Stamp {
  const side = Math.ceil(diameter) + 1;
  const cover = new Float32Array(side * side);
  for (let k = 0; k < cover.length; k++) {
    const [x, y] = [(k % side) - (side - 1) / 2, Math.floor(k / side) - (side - 1) / 2];
    cover[k] = Math.min(1, Math.max(0, diameter / 2 + 0.5 - Math.hypot(x, y)));
  }
  return { side, cover };
}

function put(
  { data, width, height }: ImageData,
  { side, cover }: Stamp,
  x: number,
  y: number,
  [r, g, b]: readonly [number, number, number],
  share: number,
): void {
  const [left, top] = [Math.round(x - side / 2), Math.round(y - side / 2)];
  if (left < 0 || top < 0 || left + side > width || top + side > height) return;
  for (let k = 0; k < cover.length; k++) {
    const a = share * (cover[k] as number);
    if (a === 0) continue;
    const at = 4 * ((top + Math.floor(k / side)) * width + left + (k % side));
    data[at] = (data[at] as number) * (1 - a) + r * a;
    data[at + 1] = (data[at + 1] as number) * (1 - a) + g * a;
    data[at + 2] = (data[at + 2] as number) * (1 - a) + b * a;
  }
}
