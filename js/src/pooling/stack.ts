// All channels before and after pooling: as many maps, each as much smaller as it is. Two grids with
// the same order, a page of them at a time: the page of the chosen channel.

import { clamp } from "../lib/small.ts";
import { paintRect } from "../lib/tiles.ts";
import { EDGE, GAP, type GridLayout, LABEL, layoutGrids } from "./layout.ts";
import { draw, outline, valueCanvas, write } from "./paint.ts";
import { lookOf, type Session } from "./session.ts";
import { arithmetic, sameHow } from "./settings.ts";
import type { Part } from "./stage.ts";
import { describe } from "./vector.ts";

export function createStack(session: Session): Part {
  const { theme } = session.shell;
  let layout: GridLayout = layoutGrids(1, [1, 1], [1, 1], 1);
  return {
    measure,
    paint,
    point,
    move: (dy, dx) => {
      const to = session.channel.get() + dx + dy * layout.columns;
      session.channel.set(clamp(to, 0, count() - 1));
    },
    label: () => {
      const [first, last] = page();
      return `channels ${first} to ${last - 1} of ${count()}`;
    },
    explained: (channel) => describe(session, channel),
  };

  function count(): number {
    return session.maps?.shape[0] ?? 0;
  }

  function measure(width: number): number {
    const { size, how, problem } = session;
    if (!problem) {
      const [rows, columns] = arithmetic(size, how);
      layout = layoutGrids(count(), size, [rows.size, columns.size], width);
    }
    session.page = layout.columns * layout.rows;
    const [first, last] = page();
    session.needTiles(Array.from({ length: last - first }, (_, i) => first + i));
    return layout.height;
  }

  /** The channels [first, last) of this page. */
  function page(): [number, number] {
    const first = session.channel.get() - (session.channel.get() % session.page);
    return [first, Math.min(count(), first + session.page)];
  }

  function point(x: number, y: number): number {
    const [from, [high, wide]] = x < layout.x ? [EDGE, layout.before] : [layout.x, layout.after];
    const column = Math.floor((x - from) / (wide + GAP));
    const row = Math.floor((y - LABEL) / (high + GAP));
    const [first, last] = page();
    const channel = first + row * layout.columns + column;
    const inside = row >= 0 && column >= 0 && column < layout.columns && channel < last;
    return inside ? channel : -1;
  }

  function paint(context: CanvasRenderingContext2D, hovered: number): void {
    const { maps, after, how, problem } = session;
    if (!maps) return;
    const [first, last] = page();
    const old = problem !== null || !after || !sameHow(after.how, how);
    const [accent, halo, empty, muted] = theme.colors("accent", "bg", "sunk", "muted");
    for (const [word, x, tiles, [high, wide], alpha] of [
      ["before", EDGE, maps.before, layout.before, 1],
      ["after", layout.x, after?.tiles, layout.after, old ? 0.4 : 1],
    ] as const) {
      write(context, word, x, LABEL / 2, muted);
      for (let channel = first; channel < last; channel++) {
        const row = Math.floor((channel - first) / layout.columns);
        const left = x + (channel - first - row * layout.columns) * (wide + GAP);
        const top = LABEL + row * (high + GAP);
        const map = tiles?.maps.get(channel);
        context.globalAlpha = alpha;
        paintRect(context, empty, left, top, wide, high);
        if (map) {
          // One scale for both.
          const both = [maps.before.maps, after?.tiles.maps].map((all) => all?.get(channel) ?? map);
          const look = lookOf(both, maps.signed);
          draw(context, valueCanvas(map, tiles?.cells[1] ?? 1, look), left, top, wide, high);
        }
        context.globalAlpha = 1;
        if (channel === session.channel.get() || channel === hovered) {
          outline(context, left, top, wide, high, accent, halo);
        }
      }
    }
  }
}
