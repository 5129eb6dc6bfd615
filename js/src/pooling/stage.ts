// The place of the three views: one canvas, which they share, and, for beside it, in words what is
// lit or chosen, with a lens. What is lit can be read from the canvas' data attributes too.

import { h, on, setProps, text } from "../lib/dom.ts";
import { arrow, box, stride, take } from "../lib/small.ts";
import { surface } from "../lib/tiles.ts";
import { LENS } from "./one.ts";
import type { Session, View } from "./session.ts";
import type { Walk } from "./walk.ts";
import type { Explained } from "./words.ts";

/** One of the views. All in CSS pixels. */
export interface Part {
  /** Lay out in this width; returns the height. */
  measure(width: number): number;
  /** `channel` is pointed at; -1: none. */
  paint(context: CanvasRenderingContext2D, channel: number): void;
  /** Paint the lens; false where there is nothing to enlarge. */
  lens?(context: CanvasRenderingContext2D): boolean;
  /** The pointer is there. Returns the channel under it; -1: none. */
  point(x: number, y: number): number;
  /** Keep what is lit, where it is not the channel that is chosen by a click. */
  click?(): void;
  /** Arrow keys. */
  move(dy: number, dx: number): void;
  label(): string;
  explained(channel: number): Explained | null;
}

const DATA = ["cell", "window", "result", "maximum", "input", "outputs", "channel"];

export function createStage(session: Session, walk: Walk, parts: Record<View, Part>) {
  const { shell } = session;
  const { signal } = shell;
  const canvas = h("canvas", {
    "data-role": "stage",
    tabindex: 0,
    role: "application",
    "aria-description": "Arrows, Home and End move; Space plays or opens a channel; Escape ends.",
  });
  const lens = h("canvas", { "data-role": "lens", "aria-hidden": "true" });
  const title = box("nbc-name");
  const why = box("nbc-muted");
  const area = box("po-stage", canvas);
  const label = box("nbc-muted");
  const words = box("po-words", label, title, why);
  const aside = box("po-aside", words, lens);
  let height = 0;
  let hovered = -1;
  const part = () => parts[session.view];
  const point = (event: PointerEvent): void => {
    const { left, top } = canvas.getBoundingClientRect();
    const gone = event.type === "pointerleave";
    hovered = part().point(gone ? -1 : event.clientX - left, gone ? -1 : event.clientY - top);
    show();
  };
  for (const type of ["pointermove", "pointerdown", "pointerleave"] as const) {
    on(canvas, type, point, signal);
  }
  on(canvas, "click", click, signal);
  on(canvas, "keydown", key, signal);
  session.on(["cell"], show);
  session.on(["shown", "tiles", "view"], renew);
  // It may grow while settings are tried, and does not shrink: what is below stays in its place.
  const fresh = (): void => {
    height = 0;
    hovered = -1;
    renew();
  };
  session.layer.on(fresh);
  session.on(["view"], fresh);
  shell.onResize(fresh);
  shell.onDraw(paint);
  return { element: area, aside };

  function renew(): void {
    if (session.maps && !session.stale && area.clientWidth) {
      height = Math.max(height, part().measure(area.clientWidth));
      canvas.style.height = `${height}px`;
      text(label, part().label());
      setProps(canvas, { "aria-label": `${session.layer.get()}, ${part().label()}` });
    }
    show();
  }

  function show(): void {
    const found = part().explained(hovered < 0 ? session.channel.get() : hovered);
    setProps(canvas, Object.fromEntries(DATA.map((name) => [`data-${name}`, found?.data[name]])));
    text(title, found?.title ?? "Point at a value");
    text(why, found?.why ?? "Its window lights up.");
    // What the pointer passes, or the window on its way, is not read out.
    const passing = hovered >= 0 || session.lit !== session.pinned || walk.playing;
    setProps(words, { "aria-live": passing ? "off" : "polite" });
    shell.status(found ? `${found.title}: ${found.why}` : "");
    area.toggleAttribute("data-stale", session.retired);
    shell.redraw();
  }

  function paint(): void {
    if (!session.maps || session.stale) return;
    const context = surface(canvas, area.clientWidth, height);
    if (context) part().paint(context, hovered);
    const enlarged = surface(lens, LENS, LENS);
    lens.hidden = !(enlarged && part().lens?.(enlarged));
  }

  function click(): void {
    part().click?.();
    if (hovered < 0) return;
    session.channel.set(hovered);
    if (session.view === "all maps") open();
  }

  function open(): void {
    session.set({ view: "one channel" });
  }

  function key(event: KeyboardEvent): void {
    const { key, ctrlKey, altKey, metaKey } = event;
    const by = /Home|End/.test(key) && stride(event);
    const way = by ? ([by, by] as const) : arrow(event);
    const { pinned, view } = session;
    let act = key === "Escape" && pinned && walk.whole;
    if (way) act = () => part().move(...way);
    if (key === " " || key === "Enter") act = view === "one channel" ? walk.toggle : open;
    if (!act || ctrlKey || altKey || metaKey) return;
    take(event);
    act();
  }
}
