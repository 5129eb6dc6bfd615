// The card of the point that is pointed at or pinned, beside it on the map.

import { button } from "../lib/controls.ts";
import { fill, h, setProps } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { box, clamp, focused, span } from "../lib/small.ts";
import { toScreen } from "./camera.ts";
import { type Column, valueAt } from "./points.ts";
import type { Session } from "./session.ts";
import type { Thumbs } from "./thumbs.ts";

const GAP = 18;
const FACTS = 6;

export function createCard(session: Session, thumbs: Thumbs): HTMLElement {
  const { signal } = session.shell;
  const element = h("section", { class: "em-card", "data-role": "card", "aria-label": "point" });
  session.on(["hover", "points", "places"], show);
  session.on(["camera"], place);
  thumbs.onCome(() => session.focus >= 0 && show());
  show();
  return element;

  function show(): void {
    const { focus, points, pinned, hovered } = session;
    element.hidden = focus < 0 || !session.places;
    setProps(element, { "data-index": element.hidden ? null : session.number(focus) });
    if (element.hidden) return;
    // Under the pointer it must not take the pointer; pinned it has buttons.
    const held = pinned >= 0 && (hovered < 0 || hovered === pinned);
    element.toggleAttribute("data-pinned", held);
    const number = session.number(focus);
    const facts = points.columns.slice(0, FACTS).map((column) => fact(column, focus));
    const name = h("p", { class: "nbc-name nbc-clip", title: thumbs.name(number) });
    name.textContent = thumbs.name(number);
    const about = box("em-facts", name, h("dl", null, ...facts.flat()));
    const inside = element.contains(focused(element));
    fill(
      element,
      box("em-one", thumbs.any() && thumbs.photo(number), about, held && unpin()),
      neighbours(number, held),
    );
    if (inside) element.querySelector("button")?.focus({ preventScroll: true });
    place();
  }

  function fact(column: Column, i: number): HTMLElement[] {
    const value = valueAt(column, i);
    const said = value === "" ? "none" : typeof value === "number" ? three(value) : value;
    const bad = column.key === "correct" && value === "wrong";
    const title = h("dt", { class: "nbc-muted" }, column.title);
    return [title, h("dd", { class: bad ? "nbc-clip nbc-bad" : "nbc-clip" }, said)];
  }

  function unpin(): HTMLElement {
    const shut = (): void => {
      session.pin(session.pinned);
      // The keyboard goes back to the map.
      element.parentElement?.querySelector<HTMLElement>("[role=application]")?.focus();
    };
    const made = button({ label: "Unpin", glyph: "×", ghost: true, onClick: shut }, signal);
    made.classList.add("em-unpin");
    return made;
  }

  function neighbours(number: number, held: boolean): HTMLElement | false {
    const { near } = session;
    if (near?.index !== number || !near.indices.length) return false;
    const where = near.space === "coordinates" ? "on the map" : "in the features";
    const row = near.indices.map((each, k) => {
      const title = `${thumbs.name(each)}, distance ${three(near.distances[k])}`;
      return held && thumbs.any() ? goto(each, title) : thumbs.photo(each, title);
    });
    const title = span("nbc-muted", `nearest ${where}`);
    return thumbs.any() && box("em-near", title, box("em-row", ...row));
  }

  /** A neighbour of what is pinned, to go on to. */
  function goto(number: number, title: string): HTMLElement {
    const go = (): void => {
      const next = session.placeOf(number);
      if (next >= 0) session.pin(next);
    };
    const glyph = thumbs.photo(number, title);
    glyph.setAttribute("aria-hidden", "true");
    const made = button({ label: title, title, glyph, onClick: go }, signal);
    made.classList.add("em-goto");
    return made;
  }

  /** Beside the point, within the map, and never upon the point. */
  function place(): void {
    const { focus, places, camera, frame } = session;
    if (element.hidden || !places) return;
    const spot = { x: places.xy[2 * focus] as number, y: places.xy[2 * focus + 1] as number };
    const { x, y } = toScreen(Number.isNaN(spot.x) ? camera : spot, camera, frame);
    const { offsetWidth: width, offsetHeight: height } = element;
    const right = x + GAP + width <= frame.width || x < frame.width / 2;
    const left = right ? x + GAP : x - GAP - width;
    const room = (size: number, around: number) => Math.max(4, around - size - 4);
    element.style.left = `${Math.round(clamp(left, 4, room(width, frame.width)))}px`;
    const upper = clamp(y - height / 2, 4, room(height, frame.height));
    element.style.top = `${Math.round(upper)}px`;
  }
}
