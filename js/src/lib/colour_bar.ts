// The colours of the maps from end to end, with the values they stand for.

import "./colour_bar.css";
import { fill, h, setProps, text } from "./dom.ts";
import { three } from "./format.ts";
import { span } from "./small.ts";
import { pixelCanvas } from "./tiles.ts";

export function createColourBar() {
  const low = span("nbc-colours-low");
  const strip = span("nbc-colours-strip");
  const high = span("nbc-colours-high");
  const element = h(
    "div",
    { class: "nbc-colours nbc-muted", role: "img", "data-role": "colours" },
    strip,
    low,
    high,
  );
  let painted: Uint32Array | null = null;
  return { element, show };

  /** `range`: values of the first and the last colour; null: every map has others. */
  function show(colours: Uint32Array, range: readonly [number, number] | null): void {
    if (colours !== painted)
      fill(
        strip,
        pixelCanvas(256, 1, (pixels) => pixels.set(colours)),
      );
    painted = colours;
    const [a, b] = range ? range.map(three) : ["", "each map's own range"];
    low.hidden = range === null;
    text(low, a as string);
    text(high, b as string);
    setProps(element, { "aria-label": `colours: ${range ? `${a} to ${b}` : b}` });
  }
}
