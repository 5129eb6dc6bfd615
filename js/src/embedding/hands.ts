// The pointer on the map: move, pinch, point, pin, lasso, box.

import { on } from "../lib/dom.ts";
import { clamp, take } from "../lib/small.ts";
import { panned, type Spot, WHOLE, zoomed } from "./camera.ts";
import type { Mode, Session } from "./session.ts";

/** So near a pointer must be to a point, and so far it must go for a drag. */
const REACH = 14;
const STIR = 3;

export interface Strokes {
  /** An outline is closed. */
  lasso(outline: readonly Spot[], mode: Mode): void;
  /** An outline on its way; empty when there is none any more. */
  draw(outline: readonly Spot[]): void;
}

export function createHands(session: Session, top: HTMLElement, { lasso, draw }: Strokes): void {
  const { signal } = session.shell;
  const fingers = new Map<number, Spot>();
  let drag: { from: Spot; moved: boolean; mode: Mode; draws: boolean } | null = null;
  let outline: Spot[] = [];
  on(top, "pointerdown", down, signal);
  on(top, "pointermove", move, signal);
  on(top, "pointerup", up, signal);
  on(top, "pointercancel", up, signal);
  on(top, "pointerleave", () => drag || session.point(-1), signal);
  on(top, "wheel", wheel, signal, { passive: false });
  on(top, "dblclick", () => session.look(WHOLE), signal);

  function spotOf({ clientX, clientY }: MouseEvent): Spot {
    const { left, top: upper } = top.getBoundingClientRect();
    return { x: clientX - left, y: clientY - upper };
  }

  function down(event: PointerEvent): void {
    if (event.button !== 0) return;
    top.focus({ preventScroll: true });
    top.setPointerCapture(event.pointerId);
    const from = spotOf(event);
    fingers.set(event.pointerId, from);
    const mode = event.shiftKey ? "add" : event.altKey ? "remove" : "replace";
    const draws = session.tool !== "pan" && fingers.size === 1;
    drag = { from, moved: false, mode, draws };
    outline = draws ? [from] : [];
  }

  function move(event: PointerEvent): void {
    const now = spotOf(event);
    if (!drag) session.point(session.at(now, REACH));
    else if (fingers.size > 1) pinch(event.pointerId, now);
    else if (drag.moved || Math.hypot(now.x - drag.from.x, now.y - drag.from.y) > STIR) {
      drag.moved = true;
      session.point(-1);
      if (drag.draws) stroke(event, drag.from, now);
      else {
        const { from } = drag;
        drag.from = now;
        session.look(panned(session.camera, now.x - from.x, now.y - from.y, session.frame));
      }
    }
  }

  function stroke(event: PointerEvent, from: Spot, now: Spot): void {
    if (session.tool === "lasso") {
      const between = event.getCoalescedEvents?.() ?? [];
      outline.push(...(between.length ? between.map(spotOf) : [now]));
    } else outline = [from, { x: now.x, y: from.y }, now, { x: from.x, y: now.y }];
    draw(outline);
  }

  function pinch(id: number, now: Spot): void {
    const before = fingers.get(id) as Spot;
    const other = [...fingers].find(([each]) => each !== id)?.[1] as Spot;
    fingers.set(id, now);
    const far = (spot: Spot) => Math.hypot(spot.x - other.x, spot.y - other.y) || 1;
    const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
    const { camera, frame } = session;
    const moved = panned(camera, (now.x - before.x) / 2, (now.y - before.y) / 2, frame);
    drop();
    session.look(zoomed(moved, far(now) / far(before), middle, frame));
  }

  function drop(): void {
    outline = [];
    draw(outline);
  }

  function up(event: PointerEvent): void {
    fingers.delete(event.pointerId);
    const done = drag;
    if (fingers.size > 0 || !done) return;
    drag = null;
    const drawn = outline;
    drop();
    if (event.type !== "pointerup") return;
    if (done.moved && done.draws && drawn.length > 2) lasso(drawn, done.mode);
    else if (!done.moved) session.pin(session.at(done.from, REACH));
  }

  function wheel(event: WheelEvent): void {
    take(event);
    const by = Math.exp(-clamp(event.deltaY, -240, 240) / 320);
    session.look(zoomed(session.camera, by, spotOf(event), session.frame));
  }
}
