// All maps of the layer on one canvas, of which only what is seen is painted; virtual scrolling in
// an area of fixed height. One tab stop; arrows move from tile to tile.

import { atEnd, fill, h, on, setProps } from "../lib/dom.ts";
import { shape } from "../lib/format.ts";
import { box, take, uniqueId } from "../lib/small.ts";
import { createTilePainter, surface } from "../lib/tiles.ts";
import { describeChannel } from "./describe.ts";
import { paintTiles } from "./grid_paint.ts";
import {
  type GridLayout,
  hitTile,
  layoutGrid,
  moveInGrid,
  scrollTo,
  visibleTiles,
} from "./layout.ts";
import { pointAt } from "./pointing.ts";
import type { Session } from "./session.ts";

/** The pointer rests this long on a tile before its exact values are asked for. */
const REST_MS = 60;

export type Grid = ReturnType<typeof createGrid>;

export function createGrid(session: Session) {
  const canvas = h("canvas", { "data-role": "stage", "aria-hidden": "true" });
  const rowElement = h("div", { role: "row" });
  const painter = createTilePainter();
  const id = uniqueId();
  let layout: GridLayout = layoutGrid(0, [1, 1], 72, 1);
  let tileSize = 72;
  /** The tile size was chosen by hand; before, it is as large as lets all maps be seen, if any. */
  let chosen = false;
  /** Channel of the active tile. */
  let activeChannel = -1;
  let pointer: { u: number; v: number; channel: number } | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const spacer = box("fm-spacer", canvas, rowElement);
  const element = h(
    "div",
    {
      class: "fm-grid",
      role: "grid",
      tabindex: 0,
      "aria-label": "Feature maps",
      "data-role": "grid",
    },
    spacer,
  );
  const { shell } = session;
  const { signal } = shell;
  const redraw = () => shell.redraw();
  on(element, "scroll", redraw, signal, { passive: true });
  on(element, "focus", redraw, signal);
  on(element, "blur", redraw, signal);
  on(element, "keydown", key, signal);
  on(element, "click", click, signal);
  on(element, "pointermove", move, signal);
  on(element, "pointerleave", leave, signal);
  atEnd(signal, () => clearTimeout(timer));
  session.on(["maps"], renew);
  session.on(["order"], reorder);
  session.on(["look", "more"], redraw);
  session.on(["full"], say);
  shell.onResize(measure);
  shell.onDraw(paint);
  function resize(size: number): void {
    // What is in sight stays about where it is.
    const share = element.scrollTop / layout.total;
    tileSize = size;
    chosen = true;
    measure();
    element.scrollTop = share * layout.total;
  }

  /** Bring a channel into view and make it the active one. */
  function activate(channel: number): void {
    // Maps or size may have changed while the grid was hidden.
    measure();
    const index = session.order.indexOf(channel);
    if (index >= 0) setActive(index, true);
  }

  /** Another layer or image: from the top, unless the active channel is still there. */
  function renew(): void {
    const { maps, order } = session;
    const rows = maps?.shape[0] ?? 0;
    if (activeChannel >= rows || activeChannel < 0) {
      activeChannel = order[0] ?? -1;
      element.scrollTop = 0;
    }
    pointer = null;
    measure();
  }

  function reorder(): void {
    if (!session.order.includes(activeChannel)) activeChannel = session.order[0] ?? -1;
    element.scrollTop = 0;
    measure();
  }

  function measure(): void {
    const { maps, order } = session;
    const available = element.clientWidth;
    if (available === 0 || !maps) return;
    const [, height, width] = maps.shape;
    const lay = (size: number) => layoutGrid(order.length, [height, width], size, available);
    if (!chosen) {
      tileSize = 128;
      while (tileSize > 72 && lay(tileSize).total > element.clientHeight) tileSize -= 8;
    }
    layout = lay(tileSize);
    spacer.style.height = `${Math.max(layout.total, element.clientHeight)}px`;
    setProps(element, {
      "aria-rowcount": layout.rows,
      "aria-colcount": layout.columns,
      "aria-label": `Feature maps of ${maps.layer}, ${shape(maps.shape)}`,
    });
    describe();
    redraw();
  }

  function setActive(index: number, scroll: boolean): void {
    const channel = session.order[index];
    if (channel === undefined) return;
    activeChannel = channel;
    if (scroll) {
      element.scrollTop = scrollTo(layout, index, element.scrollTop, element.clientHeight);
    }
    describe();
    redraw();
  }

  /** The row of the active tile in words; the other rows exist on the canvas alone. */
  function describe(): void {
    const { maps, order } = session;
    const active = order.indexOf(activeChannel);
    const { columns } = layout;
    const row = Math.floor(Math.max(0, active) / columns);
    const from = row * columns;
    const cells = Array.from(order.subarray(from, from + columns), (channel, i) =>
      h("div", {
        role: "gridcell",
        id: `${id}-${channel}`,
        "aria-colindex": i + 1,
        "aria-selected": channel === activeChannel ? "true" : "false",
        "aria-label": maps ? describeChannel(maps, channel) : `channel ${channel}`,
        "data-channel": channel,
      }),
    );
    const empty = h("div", { role: "gridcell", "aria-label": "no maps to show" });
    setProps(rowElement, { "aria-rowindex": row + 1 });
    fill(rowElement, ...(cells.length ? cells : [empty]));
    setProps(element, {
      "aria-activedescendant": active >= 0 ? `${id}-${activeChannel}` : null,
    });
  }

  function key(event: KeyboardEvent): void {
    const index = session.order.indexOf(activeChannel);
    if (event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (index >= 0) session.channel.set(activeChannel);
      return;
    }
    const pitch = layout.height + layout.gap;
    const page = Math.max(1, Math.floor(element.clientHeight / pitch));
    const target = moveInGrid(layout, Math.max(0, index), event.key, event.ctrlKey, page);
    if (target === null) return;
    take(event);
    setActive(target, true);
    tellActive();
  }

  /** The keyboard has no pointer: say what it is on. */
  function tellActive(): void {
    const { maps } = session;
    if (!maps || activeChannel < 0) return;
    shell.status(describeChannel(maps, activeChannel));
  }

  function hitAt(event: MouseEvent): { index: number; u: number; v: number } | null {
    const around = spacer.getBoundingClientRect();
    return hitTile(layout, event.clientX - around.left, event.clientY - around.top);
  }

  function click(event: MouseEvent): void {
    const hit = hitAt(event);
    if (!hit) return;
    setActive(hit.index, false);
    session.channel.set(activeChannel);
  }

  function move(event: PointerEvent): void {
    const hit = hitAt(event);
    const channel = hit ? (session.order[hit.index] as number) : -1;
    element.style.cursor = hit ? "pointer" : "default";
    if (channel !== pointer?.channel) {
      clearTimeout(timer);
      if (hit) timer = setTimeout(() => session.needFull(channel), REST_MS);
      redraw();
    }
    pointer = hit && { u: hit.u, v: hit.v, channel };
    say();
  }

  function leave(): void {
    clearTimeout(timer);
    pointer = null;
    session.point(null);
    redraw();
  }

  function say(): void {
    const { maps } = session;
    const at = pointer;
    if (at && maps) session.point(pointAt(maps, at.channel, at.u, at.v));
  }

  function paint(): void {
    const { maps, order } = session;
    const height = element.clientHeight;
    const context = surface(canvas, element.clientWidth, height, true);
    if (!context) return;
    if (!maps) return;
    const pixels = devicePixelRatio;
    const top = element.scrollTop;
    const [first, last] = visibleTiles(layout, top, height);
    const active = order.indexOf(activeChannel);
    const hovered = pointer ? order.indexOf(pointer.channel) : -1;
    const marked = { active, hovered, focused: element.matches(":focus") };
    paintTiles(context, session, painter, layout, { first, last, top, pixels, ...marked });
    // What comes next is fetched before it is seen.
    const ahead = order.subarray(first, last + (last - first));
    session.need(Array.from(ahead));
  }
  return {
    element,
    canvas,
    activate,
    /** Longer side of a tile in CSS pixels; of this view alone. */
    get size() {
      return tileSize;
    },
    set size(size: number) {
      resize(size);
    },
  };
}
