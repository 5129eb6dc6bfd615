// One channel across all images under one scale.

import { fill, h, on } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { mapCanvas, type QuantisedMap } from "../lib/tiles.ts";
import type { Session } from "./session.ts";
import { focused, imageOf, span } from "./small.ts";
import { thumbnail } from "./strip.ts";

/** The state of the question "this channel, on all images". */
export interface Comparison {
  layer: string;
  channel: number;
  /** One per image, in their order; fewer while the kernel is still at it. */
  maps: QuantisedMap[];
  /** Rows and columns of each map. */
  cells: [number, number];
  done: boolean;
  /** Why it ended early. */
  failed: string | null;
}

/** Smallest and largest value over all maps. */
export function rangeOf(maps: readonly QuantisedMap[]): [number, number] {
  if (maps.length === 0) return [0, 0];
  return [Math.min(...maps.map((map) => map.lo)), Math.max(...maps.map((map) => map.hi))];
}

export function createCompare(session: Session) {
  const element = h("div", { class: "fm-compare", "data-role": "compare", hidden: true });

  session.on(["compare", "look", "images", "stale"], show);
  const choose = (event: MouseEvent): void => {
    const chosen = imageOf(event);
    if (chosen >= 0) session.image.set(chosen);
  };
  on(element, "click", choose, session.shell.signal);

  function show(): void {
    const { images } = session;
    if (element.hidden || !images) return;
    const kept = focused(element)?.getAttribute("data-image");
    const cards = images.names.map((name, i) => card(name, i));
    fill(element, note(), ...cards);
    // Partial answers rebuild the cards: the keyboard stays where it was.
    if (kept) element.querySelector<HTMLElement>(`[data-image="${kept}"]`)?.focus();
  }

  function note(): HTMLElement {
    const { comparison, alone } = session;
    const maps = comparison?.maps ?? [];
    const [lo, hi] = rangeOf(maps);
    const waiting = alone ? "Comparing needs the kernel." : "Looking at all images …";
    const shown = `all images under one scale: ${three(lo)} to ${three(hi)}`;
    const said = comparison?.failed ?? (maps.length ? shown : waiting);
    return h("p", { class: "nbc-muted fm-compare-note" }, said);
  }

  function card(name: string, i: number): HTMLElement {
    const { comparison, images } = session;
    const map = comparison?.maps[i];
    const [height, width] = comparison?.cells ?? [1, 1];
    const pair = span("fm-compare-pair");
    if (images) pair.append(thumbnail(images, i));
    if (map) {
      const [lo, hi] = rangeOf(comparison?.maps ?? []);
      const scale = session.scale.get() === "symmetric" ? "symmetric" : "layer";
      const look = session.lookFor(lo, hi, scale);
      pair.append(mapCanvas(map, width, height, look));
    } else pair.append(span("fm-compare-empty"));
    const current = session.image.get() === i;
    const range = map ? `${three(map.lo)} to ${three(map.hi)}` : "…";
    return h(
      "button",
      { type: "button", "data-image": i, "aria-pressed": String(current), title: name },
      pair,
      span("fm-compare-name", name),
      span("nbc-muted", range),
    );
  }
  return { element, show };
}
