// The stack as a vector: the mean of each map as a bar, in as many rows as it takes, and the map
// behind the chosen bar with its mean as a level.

import { three } from "../lib/format.ts";
import { clamp } from "../lib/small.ts";
import { paintRect } from "../lib/tiles.ts";
import type { Gap } from "./gap.ts";
import { HIGHEST } from "./layout.ts";
import { LENS } from "./one.ts";
import { draw, valueCanvas, write } from "./paint.ts";
import { extent, lookOf, type Session } from "./session.ts";
import type { Part } from "./stage.ts";
import type { Explained } from "./words.ts";

const THIN = 1.5;
const THICK = 32;
const TALL = 176;
const GAP = 12;

export const SORTS = ["index", "value", "contribution"] as const;
export type Sort = (typeof SORTS)[number];

/** A channel in figures. */
export function describe({ maps }: Session, channel: number): Explained {
  const why = `mean ${three(maps?.means[channel])}, largest ${three(maps?.maxima[channel])}`;
  return { title: `channel ${channel}`, why, data: { channel } };
}

export function createVector(session: Session, gap: Gap): Part & { sort: Sort } {
  const { theme } = session.shell;
  let order = new Int32Array();
  let pitch = THIN;
  let each = 1;
  let tall = TALL;
  const self: Part & { sort: Sort } = {
    sort: "index",
    measure,
    paint,
    lens,
    point,
    move: (dy, dx) => {
      const to = order.indexOf(session.channel.get()) + dx + dy * each;
      session.channel.set(order[clamp(to, 0, order.length - 1)] ?? 0);
    },
    label: () => `${order.length} channels`,
    explained,
  };
  return self;

  function contributing(): boolean {
    return self.sort === "contribution" && gap.here !== null;
  }

  /** What the bars stand for: the means, or what they add to the score. */
  function values(): Float32Array {
    const means = session.maps?.means ?? new Float32Array();
    return (contributing() && gap.here?.products) || means;
  }

  function explained(channel: number): Explained {
    const found = describe(session, channel);
    const { here } = gap;
    if (!here) return found;
    const [w, g, product] = [here.weights, here.gap, here.products].map((all) =>
      three(all[channel]),
    );
    return { ...found, why: `${found.why}; adds ${w} · ${g} = ${product} to ${here.label}` };
  }

  function measure(width: number): number {
    const all = values();
    order = Int32Array.from(all.keys());
    if (self.sort !== "index") order.sort((a, b) => (all[b] ?? 0) - (all[a] ?? 0) || a - b);
    const rows = Math.max(1, Math.ceil((all.length * THIN) / width));
    each = Math.ceil(all.length / rows);
    pitch = Math.min(width / each, THICK);
    tall = Math.min(TALL, Math.max(24, HIGHEST / rows - GAP));
    return rows * (tall + GAP);
  }

  function point(x: number, y: number): number {
    const column = Math.floor(x / pitch);
    const row = Math.floor(y / (tall + GAP));
    return (column >= 0 && column < each ? order[row * each + column] : undefined) ?? -1;
  }

  function paint(context: CanvasRenderingContext2D, hovered: number): void {
    const all = values();
    const chosen = session.channel.get();
    const [accent, soft, bad, line] = theme.colors("accent", "accent-soft", "bad", "line");
    const at = scaleOf(all, tall);
    order.forEach((channel, i) => {
      const row = Math.floor(i / each);
      const [x, y] = [(i - row * each) * pitch, row * (tall + GAP)];
      const [top, zero] = [at(all[channel] ?? 0), at(0)];
      const marked = channel === chosen || channel === hovered;
      if (marked) paintRect(context, soft, x, y, pitch, tall);
      else paintRect(context, line, x, y + zero, pitch, 1);
      context.globalAlpha = marked ? 1 : 0.7;
      const size = Math.max(1, Math.abs(top - zero)) || 0;
      const colour = top > zero ? bad : accent;
      paintRect(context, colour, x, y + Math.min(top, zero), Math.max(1, pitch - 1), size);
      context.globalAlpha = 1;
      if (channel === chosen) {
        context.strokeStyle = accent;
        context.strokeRect(x - 0.5, y + 0.5, pitch, tall);
      }
    });
  }

  /** The map, and its values side by side with their mean as a level. */
  function lens(context: CanvasRenderingContext2D): boolean {
    const { maps } = session;
    const channel = session.channel.get();
    const map = maps?.exact.get(channel);
    if (!maps || !map || session.stale) return false;
    const [, height, width] = maps.shape;
    const side = LENS / 2;
    const scale = side / Math.max(height, width);
    draw(
      context,
      valueCanvas(map, width, lookOf([map], maps.signed)),
      0,
      0,
      width * scale,
      height * scale,
    );
    const mean = maps.means[channel] ?? 0;
    const at = scaleOf(map, side - 8);
    const count = Math.min(map.length, LENS);
    const [ink, accent, fg] = theme.colors("edge", "accent", "fg");
    const base = side + 8;
    for (let i = 0; i < count; i++) {
      const value = map[Math.floor((i * map.length) / count)] ?? 0;
      const top = at(value);
      const wide = LENS / count;
      const zero = at(0);
      const y = base + Math.min(top, zero);
      paintRect(context, ink, i * wide, y, wide * 0.9, Math.abs(top - zero));
    }
    paintRect(context, accent, 0, base + at(mean) - 1, LENS, 2);
    const words = `mean ${three(mean)}`;
    write(context, words, LENS, base + Math.max(8, at(mean) - 8), fg, 11, "end");
    return true;
  }
}

/** Where values lie between the largest, at 0, and the smallest (or zero), at `size`. */
function scaleOf(all: Float32Array, size: number) {
  const [low, high] = extent([all], 0, 0);
  return (value: number): number => ((high - value) / (high - low || 1)) * size;
}
