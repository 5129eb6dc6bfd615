// The map by keyboard.

import { h, on, text } from "../lib/dom.ts";
import { arrow, take } from "../lib/small.ts";
import { panned, seen, WHOLE, zoomed } from "./camera.ts";
import { valueAt } from "./points.ts";
import type { Session } from "./session.ts";

const STEP = 60;
const ZOOM: Record<string, number> = { "+": 1.3, "=": 1.3, "-": 1 / 1.3 };

export function createKeys(session: Session, top: HTMLElement): void {
  // For who listens: the card changes too often under a pointer.
  const spoken = h("div", { class: "nbc-hidden", "aria-live": "polite", "data-role": "spoken" });
  session.shell.body.append(spoken);
  on(top, "keydown", key, session.shell.signal);

  function key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { camera, frame } = session;
    const by = arrow(event);
    const zoom = ZOOM[event.key];
    const middle = { x: frame.width / 2, y: frame.height / 2 };
    if (by) session.look(panned(camera, -STEP * by[1], -STEP * by[0], frame));
    else if (zoom) session.look(zoomed(camera, zoom, middle, frame));
    else if (event.key === "0") session.look(WHOLE);
    else if (event.key === "]") step(1);
    else if (event.key === "[") step(-1);
    else if (event.key === "Enter" && session.focus >= 0) session.pin(session.focus);
    else if (event.key === "s") alike();
    else if (event.key !== "Escape" || !clear()) return;
    take(event);
  }

  /** Take away what there is: a pin, else the selection. Escape that does nothing is the host's. */
  function clear(): boolean {
    if (session.hovered >= 0 || session.pinned >= 0) {
      session.point(-1);
      if (session.pinned >= 0) session.pin(session.pinned);
    } else if (session.selected) session.select(new Uint8Array(session.points.total));
    else return false;
    return true;
  }

  /** The next point that has a place and is shown; the camera follows. */
  function step(by: number): void {
    const { places, points, focus, camera, frame } = session;
    const { count } = points;
    const xy = places?.xy;
    if (!xy || !count) return;
    let next = focus < 0 ? (by > 0 ? -1 : count) : focus;
    for (let tried = 0; tried < count; tried++) {
      next = (next + by + count) % count;
      if (!Number.isNaN(xy[2 * next]) && session.visible(next)) break;
    }
    session.point(next);
    const [x, y] = [xy[2 * next] as number, xy[2 * next + 1] as number];
    const [left, bottom, right, upper] = seen(camera, frame);
    if (x < left || x > right || y < bottom || y > upper) session.look({ ...camera, x, y });
    const said = points.columns.map(
      (column) => `${column.title} ${valueAt(column, next) || "none"}`,
    );
    text(spoken, [`point ${session.number(next)}`, ...said].join(", "));
  }

  /** Select the points of the same value. */
  function alike(): void {
    const { focus, column, points } = session;
    const code = column?.codes?.[focus];
    if (focus < 0 || code === undefined) return;
    const found: number[] = [];
    for (let i = 0; i < points.count; i++) if (column?.codes?.[i] === code) found.push(i);
    session.select(session.flags(found));
  }
}
