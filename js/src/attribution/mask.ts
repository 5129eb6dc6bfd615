// The saliency mask that the kernel has made of a map, and how to go on with it.

import { h, text } from "../lib/dom.ts";
import { percent, plural } from "../lib/format.ts";
import { span } from "../lib/small.ts";
import type { Session } from "./session.ts";

export function createMask(session: Session): HTMLElement {
  const words = span("");
  const code = h("code", null, "w.to_occlusion()");
  const hand = span("nbc-muted", "hand it over: ", code);
  const element = h(
    "p",
    { class: "at-mask", "data-role": "mask", "aria-live": "polite" },
    words,
    hand,
  );
  const show = (): void => {
    const { mask } = session.got;
    element.hidden = !mask;
    if (!mask) return;
    const { coverage, pieces, box } = mask.meta;
    const where = box ? ` · ${box[2]} x ${box[3]} px at (${box[0]}, ${box[1]})` : "";
    const size = `${percent(coverage)} of the picture in ${plural(pieces, "piece")}`;
    text(words, `w.mask of ${session.title(session.masked)}: ${size}${where}`);
  };
  session.on(["mask"], show);
  show();
  return element;
}
