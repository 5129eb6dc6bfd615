// The picture one paints on: what is hidden, the sweep over it, the ring of the brush.

import { h, on, setProps } from "../lib/dom.ts";
import { percent } from "../lib/format.ts";
import { createPicture } from "../lib/picture.ts";
import { box } from "../lib/small.ts";
import type { Announcer } from "./announce.ts";
import type { Dab, Point } from "./brush.ts";
import { createHand } from "./hand.ts";
import { listenToKeys } from "./keys.ts";
import type { Session } from "./session.ts";
import { placeAt } from "./sweep.ts";
import { sayPlace } from "./sweep_words.ts";

export type Stage = ReturnType<typeof createStage>;

export function createStage(session: Session, say: Announcer) {
  const { shell, size } = session;
  const [height, width] = size;
  const { signal } = shell;
  const canvas = h("canvas", {
    "data-role": "stage",
    class: "oc-canvas",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "painting",
    "aria-label": `${session.name || "picture"}: hide parts of it`,
    "aria-description": "Arrows move the brush, Space paints, plus and minus change its size.",
  });
  const ring = box("oc-ring");
  ring.hidden = true;
  const element = box("oc-photo", canvas, ring);
  element.style.setProperty("--oc-ratio", String(width / height));
  const picture = createPicture(canvas, signal);
  const hand = createHand(session);
  /** Where the brush is; null: nowhere. */
  let cursor: Point | null = null;
  session.on(["mask"], () => picture.show(session.composite, width, height));
  session.on(["tool"], drawRing);
  session.on(["place"], () => picture.boxes(session.place ? [session.place.box] : []));
  const self = {
    element,
    canvas,
    hand,
    overlay: picture.overlay,
    moveTo,
    flip,
    cursor: () => cursor,
  };
  listenToPointer();
  listenToKeys(session, self, say);
  shell.onDraw(() => picture.show(session.composite, width, height));
  return self;

  function listenToPointer(): void {
    on(canvas, "pointerdown", down, signal);
    on(canvas, "pointermove", move, signal);
    on(canvas, "pointerup", (event) => hand.up(event.timeStamp), signal);
    // The system takes the pointer away: what it has painted stays, and can be undone.
    on(canvas, "lostpointercapture", (event) => hand.up(event.timeStamp), signal);
    on(canvas, "pointerleave", leave, signal);
    on(canvas, "blur", leave, signal);
    on(canvas, "contextmenu", (event) => hand.isDown && event.preventDefault(), signal);
  }

  function down(event: PointerEvent): void {
    const eraser = event.pointerType === "pen" && event.button === 5;
    if (!event.isPrimary || (event.button !== 0 && !eraser)) return;
    event.preventDefault(); // no selection, no dragging of the picture
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    moveTo(dabOf(event));
    hand.down(dabOf(event), event.timeStamp, eraser ? "eraser" : session.tool);
  }

  function move(event: PointerEvent): void {
    if (!event.isPrimary) return;
    moveTo(dabOf(event));
    if (!hand.isDown) return;
    const all = event.getCoalescedEvents?.() ?? [];
    hand.move((all.length > 0 ? all : [event]).map(dabOf), event.timeStamp);
  }

  function leave(): void {
    if (hand.isDown || canvas.matches(":focus-visible")) return;
    moveTo(null);
  }

  /** Where an event is in the picture, also beside it. A pen that is pressed less paints finer. */
  function dabOf(event: PointerEvent): Dab {
    const around = canvas.getBoundingClientRect();
    const pressure = event.pointerType === "pen" && event.pressure > 0 ? event.pressure : 1;
    return {
      x: ((event.clientX - around.left) / around.width) * width,
      y: ((event.clientY - around.top) / around.height) * height,
      radius: (session.brushSize / 2) * Math.min(1, 0.2 + 0.8 * pressure),
    };
  }

  /** The brush is here now: show it, and say what is there. */
  function moveTo(point: Point | null): void {
    cursor = point;
    drawRing();
    const { sweep, onStage } = session;
    const inside = point && point.x >= 0 && point.y >= 0 && point.x < width && point.y < height;
    session.point(inside && sweep && onStage ? placeAt(sweep, point) : null);
    if (!inside) shell.status("");
    else if (session.place && sweep) shell.status(sayPlace(sweep, session.place));
    else {
      const [y, x] = [Math.floor(point.y), Math.floor(point.x)];
      const hidden = (session.history.mask.data[y * width + x] as number) / 255;
      shell.status(`(${y}, ${x}) · ${hidden > 0 ? `${percent(hidden)} hidden` : "in sight"}`);
    }
  }

  /** A frame around the picture while the answer is another one: there the eyes are. */
  function flip(flipped: boolean): void {
    element.toggleAttribute("data-flipped", flipped);
  }

  function drawRing(): void {
    const { tool, brushSize, hardness, patch } = session;
    ring.hidden = cursor === null;
    if (!cursor) return;
    const round = tool === "brush" || tool === "eraser";
    const [high, wide] = tool === "stamp" ? patch : [brushSize, brushSize];
    const cross = tool === "rectangle" && !canvas.matches(":focus-visible");
    const shape = round ? "round" : cross ? "none" : "square";
    setProps(ring, { "data-shape": shape, "data-hard": !round || hardness === 1 });
    const share = (part: number, whole: number): string => `${(100 * part) / whole}%`;
    Object.assign(ring.style, {
      left: share(cursor.x, width),
      top: share(cursor.y, height),
      width: share(wide, width),
      height: share(high, height),
    });
    ring.style.setProperty("--oc-core", String(hardness));
  }
}
