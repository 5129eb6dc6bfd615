// The map: points, what lies over them, the pointer and the keyboard.

import { atEnd, h, onSize, setProps } from "../lib/dom.ts";
import { plural, three } from "../lib/format.ts";
import { box } from "../lib/small.ts";
import { surface } from "../lib/tiles.ts";
import { type Spot, toMap, WHOLE } from "./camera.ts";
import { createCard } from "./card.ts";
import { createHands } from "./hands.ts";
import { createKeys } from "./keys.ts";
import { createOverlay } from "./overlay.ts";
import { createPlot } from "./plot.ts";
import { toData, valueAt } from "./points.ts";
import { lassoed, METHODS, type Mode, type Session } from "./session.ts";
import type { Thumbs } from "./thumbs.ts";

/** No other map for so long. */
const CALM_MS = 300;

export function createStage(session: Session, thumbs: Thumbs): HTMLElement {
  const { shell } = session;
  const { signal, root } = shell;
  const stage = h("canvas", { "data-role": "stage", "aria-hidden": "true" });
  const top = h("canvas", {
    class: "em-over",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "map of points",
    "aria-description":
      "Arrows move, + and - zoom, 0 shows all. ] and [ go from point to point, Enter pins one, " +
      "s selects those like it, Escape clears.",
  });
  const plot = createPlot(session, stage);
  const overlay = createOverlay(session, thumbs);
  const empty = h("p", { class: "em-empty nbc-muted" });
  const card = createCard(session, thumbs);
  const element = box("em-stage", plot.element, top, empty, card);
  let outline: readonly Spot[] = [];
  const later = () => shell.redraw();
  createHands(session, top, { lasso, draw: drawn });
  createKeys(session, top);
  onSize(element, fit, signal);
  session.on(["places", "points", "selection", "run"], tell);
  session.on(["places", "states", "colours", "points", "hover", "camera", "search"], later);
  session.on(["tool"], () => setProps(top, { "data-tool": session.tool }));
  session.on(["hover", "camera"], () => shell.status(sayHere()));
  thumbs.onCome(later);
  shell.onDraw(paint);
  shell.theme.onChange(later);
  tell();
  readyGrid(session);
  return element;

  function fit(): void {
    const [width, height] = [Math.floor(element.clientWidth), Math.floor(element.clientHeight)];
    if (!width || !height) return;
    session.frame = { width, height };
    session.emit("camera");
    plot.look();
    later();
  }

  function tell(): void {
    const { points, meta, selected, places } = session;
    setProps(root, {
      "data-points": places ? points.count : 0,
      "data-selected": selected,
      "data-method": meta?.method,
      "data-iteration": meta?.iteration,
    });
    const what = meta ? METHODS[meta.method as keyof typeof METHODS] : "no map yet";
    const some = selected ? `, ${selected} selected` : "";
    setProps(top, { "aria-label": `${what}: ${plural(points.count, "point")}${some}` });
    empty.hidden = places !== null;
    empty.textContent = points.error ? "There is no map." : "The map is on its way.";
  }

  /** What is pointed at; else where one is, unless all of the map is seen. */
  function sayHere(): string {
    const { focus, points, places, camera } = session;
    if (focus >= 0) {
      const facts = points.columns.map((column) => {
        const value = valueAt(column, focus);
        return `${column.title} ${typeof value === "number" ? three(value) : value || "none"}`;
      });
      return [thumbs.name(session.number(focus)), ...facts].join(" · ");
    }
    const moved = camera.x !== WHOLE.x || camera.y !== WHOLE.y || camera.zoom !== WHOLE.zoom;
    if (!moved || !places) return "";
    const [x, y] = toData(places, camera.x, camera.y);
    return `around (${three(x)}, ${three(y)}) · zoom ${three(camera.zoom)}`;
  }

  function paint(): void {
    const { width, height } = session.frame;
    const pen = surface(top, width, height);
    if (pen) overlay.paint(pen, outline);
  }

  function drawn(spots: readonly Spot[]): void {
    outline = spots;
    later();
  }

  /** Select what lies within an outline of pixels. */
  function lasso(spots: readonly Spot[], mode: Mode): void {
    const { places, camera, frame } = session;
    if (!places) return;
    const corners = spots.map((spot) => {
      const { x, y } = toMap(spot, camera, frame);
      return toData(places, x, y);
    });
    stage.dataset.polygon = JSON.stringify(corners);
    session.select(session.flags(lassoed(session, corners.flat())), mode);
  }
}

/** Sort the points into cells before the pointer comes: of a million that takes a moment. */
function readyGrid(session: Session): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  session.on(["places"], () => {
    clearTimeout(timer);
    timer = setTimeout(() => session.grid, CALM_MS);
  });
  atEnd(session.shell.signal, () => clearTimeout(timer));
}
