// One channel across all images under one scale.

import { fill, h, on } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { type Images, imageOf, thumbnail } from "../lib/images/images.ts";
import { focused, span } from "../lib/small.ts";
import { mapCanvas } from "../lib/tiles.ts";
import { rangeOf } from "./comparison.ts";
import type { Session } from "./session.ts";

/** Up to so many images the cards are large. */
const FEW = 6;

export function createCompare(session: Session) {
  const element = h("div", { class: "fm-compare", "data-role": "compare", hidden: true });
  const { imageChoice, image, shell } = session;
  session.on(["compare", "look", "channel"], show);
  imageChoice.onImages(show);
  image.on(show);
  const choose = (event: MouseEvent): void => {
    const chosen = imageOf(event);
    if (chosen >= 0) image.set(chosen);
  };
  on(element, "click", choose, shell.signal);

  function show(): void {
    const images = session.images();
    const shown = session.comparing && session.channel.get() !== null;
    element.hidden = !shown;
    const kept = focused(element)?.getAttribute("data-image");
    const cards = shown && images ? images.names.map((name, i) => card(images, name, i)) : [];
    element.toggleAttribute("data-few", cards.length <= FEW);
    fill(element, note(), ...cards);
    // Partial answers rebuild the cards: the keyboard stays where it was.
    if (kept) element.querySelector<HTMLElement>(`[data-image="${kept}"]`)?.focus();
  }

  function note(): HTMLElement {
    const { comparison, offline } = session;
    const maps = comparison?.maps ?? [];
    const [lo, hi] = rangeOf(maps);
    const waiting = offline ? "Comparing needs the kernel." : "Looking at all images …";
    const shown = `all images under one scale: ${three(lo)} to ${three(hi)}`;
    const said = comparison?.failed ?? (maps.length ? shown : waiting);
    return h("p", { class: "nbc-muted fm-compare-note" }, said);
  }

  function card(images: Images, name: string, i: number): HTMLElement {
    const { comparison, comparisonLook } = session;
    const map = comparison?.maps[i];
    const [height, width] = comparison?.cells ?? [1, 1];
    const current = image.get() === i;
    // What is still to come has a place already, and the current image's is the page's stage.
    const empty = () => h(current ? "canvas" : "span", { class: "fm-compare-empty" });
    const canvas = map ? mapCanvas(map, width, height, comparisonLook) : empty();
    if (current) canvas.dataset.role = "stage";
    return h(
      "button",
      { type: "button", "data-image": i, "aria-pressed": String(current), title: name },
      span("fm-compare-pair", thumbnail(images, i), canvas),
      span("fm-compare-name", name),
      span("nbc-muted", map ? `${three(map.lo)} to ${three(map.hi)}` : "…"),
    );
  }
  return { element };
}
