// The two halves of a style transfer, each for itself: the content without any style, the style
// without any content, both from noise.

import type { Packed } from "../lib/codec.ts";
import { button } from "../lib/controls.ts";
import { h, text } from "../lib/dom.ts";
import { box, span } from "../lib/small.ts";
import { createPhoto } from "./jpeg.ts";
import { bytesOf } from "./record.ts";
import type { Session } from "./session.ts";

const STEPS = 60;

export function createApart(session: Session): HTMLElement {
  const { shell } = session;
  const { channel: kernel, signal } = shell;
  const [content, style] = ["content", "style"].map((name) => {
    const photo = createPhoto(shell, `${name} alone`);
    const caption = h("figcaption", null, `${name} alone`);
    return { photo, element: h("figure", { class: "dr-figure" }, photo.canvas, caption) };
  });
  const words = span("nbc-muted");
  const paint = button(
    {
      label: "Paint both",
      title: `${STEPS} steps each, from noise`,
      onClick: () => kernel.ask("apart", { steps: STEPS }),
    },
    signal,
  );
  const maps = box("dr-pair", content?.element, style?.element);
  const inside = box("dr-inside", box("dr-row", paint, words), maps);
  const summary = h("summary", null, "content alone, style alone");
  const element = h("details", { class: "dr-panel", "data-role": "apart" }, summary, inside);
  let shown = false;
  kernel.on("apart", ({ blob }) => blob && show(blob));
  session.on(["start"], () => {
    const [kept] = session.kept("apart");
    if (kept && !shown) show(kept);
  });
  const lock = (): void => {
    paint.disabled = session.locked || kernel.pending("apart");
  };
  session.on(["lock"], lock);
  return element;

  function show(blob: Packed): void {
    shown = true;
    content?.photo.show(bytesOf(blob, "content"));
    style?.photo.show(bytesOf(blob, "style"));
    text(words, `step ${blob.meta.step} of ${blob.meta.steps}`);
  }
}
