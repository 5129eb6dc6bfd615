// The points themselves: keeps one of the painters while the plot can be seen, and none otherwise.

import { atEnd, on } from "../lib/dom.ts";
import { box } from "../lib/small.ts";
import type { Painter } from "./painter.ts";
import { createFlatPainter } from "./painter_flat.ts";
import { createGlPainter } from "./painter_gl.ts";
import type { Rgb } from "./palette.ts";
import type { Session } from "./session.ts";

const FLIGHT_MS = 700;
/** So often a lost context is asked for again, each time a little later. */
const TRIES = 4;
const AGAIN_MS = 400;

export function createPlot(session: Session, stage: HTMLCanvasElement) {
  const { shell } = session;
  const { signal, theme, root } = shell;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const around = box("em-points", stage);
  let painter: Painter | null = null;
  let visible = false;
  let tries = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const sight = new IntersectionObserver(([entry]) => see(entry?.isIntersecting === true));
  sight.observe(around);
  on(document, "visibilitychange" as "change", () => see(visible), signal);
  atEnd(signal, () => {
    sight.disconnect();
    clearTimeout(timer);
    release();
  });
  session.on(["places"], () => draw(session.flight && !still.matches ? FLIGHT_MS : 0));
  session.on(["states", "colours", "points"], () => draw(0));
  session.on(["camera"], look);
  theme.onChange(() => draw(0));
  return { element: around, look };

  function see(now: boolean): void {
    visible = now;
    if (!visible || document.hidden) release();
    else {
      tries = 0;
      open();
    }
  }

  function release(): void {
    painter?.end();
    painter = null;
  }

  function open(): void {
    const { frame } = session;
    if (painter || signal.aborted || !visible || frame.width < 2 || frame.height < 2) return;
    // A page of its own forbids code made from text, which regl makes.
    painter = (!shell.channel.saved && tries < TRIES && openGl()) || createFlatPainter(stage);
    root.dataset.painter = painter.kind;
    painter.look(session.camera, frame);
    draw(0);
  }

  function openGl(): Painter | null {
    try {
      return createGlPainter(stage, session.frame, lost);
    } catch (error) {
      tries = TRIES;
      console.warn("The points are drawn without WebGL.", error);
      return null;
    }
  }

  /** The browser took the context: flat for a while, then another one. */
  function lost(): void {
    release();
    tries += 1;
    const before = tries;
    tries = TRIES;
    open();
    tries = before;
    clearTimeout(timer);
    timer = setTimeout(() => {
      release();
      open();
    }, AGAIN_MS * tries);
  }

  function look(): void {
    if (painter) painter.look(session.camera, session.frame);
    else open();
  }

  function draw(ms: number): void {
    const { places, points } = session;
    if (!painter || !places || places.codes.length !== 2 * points.count) return;
    const { codes, colours } = session.ink;
    const { states } = session;
    painter.show({ xy: places.xy, codes, colours, states, background: background() }, ms);
  }

  function background(): Rgb {
    const found = theme.color("--nbc-bg").match(/[\d.]+/g) ?? [];
    const scale = theme.color("--nbc-bg").startsWith("color(") ? 255 : 1;
    const [r = 255, g = 255, b = 255] = found.map((part) => Math.round(Number(part) * scale));
    return [r, g, b];
  }
}
