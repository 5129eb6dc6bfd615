// The sweep over the clean picture: point at a square, click to hide it.

import { h, on, setProps } from "../lib/dom.ts";
import { createPicture } from "../lib/picture.ts";
import { arrow, clamp, take } from "../lib/small.ts";
import { pixelCanvas } from "../lib/tiles.ts";
import type { Announcer } from "./announce.ts";
import type { Session } from "./session.ts";
import type { Stage } from "./stage.ts";
import { type Place, placeAt, placeOf, regions } from "./sweep.ts";
import { paintSweep } from "./sweep_paint.ts";
import { sayPlace } from "./sweep_words.ts";

export function createSweepMap(session: Session, stage: Stage, say: Announcer) {
  const { shell, size } = session;
  const [height, width] = size;
  const { signal } = shell;
  const canvas = h("canvas", {
    "data-role": "sweep",
    class: "oc-canvas",
    role: "application",
    "aria-roledescription": "map",
  });
  const picture = createPicture(canvas, signal);
  picture.show(session.clean, width, height);
  shell.onDraw(() => picture.show(session.clean, width, height));
  session.on(["sweep"], show);
  session.on(["place"], () => picture.boxes(session.place ? [session.place.box] : []));
  on(canvas, "pointermove", (event) => point(under(event)), signal);
  on(canvas, "pointerleave", () => point(null), signal);
  on(canvas, "blur", () => point(null), signal);
  on(canvas, "click", hide, signal);
  on(canvas, "keydown", key, signal);
  return { canvas };

  /** Paint it here and, if wanted, over the picture one paints on. */
  function show(): void {
    const { sweep, opacity, onStage } = session;
    const what = sweep ? `sweep of ${sweep.target.name}` : "no sweep yet";
    setProps(canvas, {
      "aria-label": `${what}: arrows lead from square to square, Enter hides one`,
      tabindex: sweep ? 0 : null,
    });
    const fits = sweep && sweep.size[0] === height && sweep.size[1] === width;
    if (!sweep || !fits) return;
    session.order = regions(sweep, session.order).map(({ index }) => index);
    const map = pixelCanvas(width, height, (pixels) =>
      paintSweep(pixels, sweep, session.show.get(), session.order, session.share),
    );
    picture.overlay(map, opacity);
    stage.overlay(onStage ? map : null, opacity);
  }

  function under(event: MouseEvent): Place | null {
    const at = picture.place(event);
    return at && session.sweep && placeAt(session.sweep, { x: at.u * width, y: at.v * height });
  }

  function point(place: Place | null): void {
    session.point(place);
    shell.status(place && session.sweep ? sayPlace(session.sweep, place) : "");
  }

  function hide(event: MouseEvent): void {
    const place = under(event);
    if (place) session.stamp(place);
  }

  function key(event: KeyboardEvent): void {
    const { sweep, place } = session;
    const way = arrow(event);
    if (!sweep || event.ctrlKey || event.altKey || event.metaKey) return;
    if (way) {
      take(event);
      const from = place ?? {
        row: (sweep.grid[0] >> 1) - way[0],
        column: (sweep.grid[1] >> 1) - way[1],
      };
      const row = clamp(from.row + way[0], 0, sweep.grid[0] - 1);
      const next = placeOf(sweep, row, clamp(from.column + way[1], 0, sweep.grid[1] - 1));
      point(next);
      say(sayPlace(sweep, next));
    } else if ((event.key === "Enter" || event.key === " ") && place) {
      take(event);
      if (!event.repeat) session.stamp(place);
    }
  }
}
