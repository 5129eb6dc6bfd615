// The images as a strip of thumbnails: a radio group, so that arrow keys choose.

import { fill, h, on } from "../lib/dom.ts";
import { rgbCanvas } from "../lib/picture.ts";
import type { Images, Session } from "./session.ts";
import { clamp, imageOf, stride, take } from "./small.ts";

/** One image of the trait `_images` as a small canvas. */
export function thumbnail(images: Images, index: number): HTMLCanvasElement {
  const [, height = 1, width = 1] = images.pictures.shape;
  const size = height * width * 3;
  return rgbCanvas(images.pictures.data.subarray(index * size, (index + 1) * size), width, height);
}

export function createStrip(session: Session) {
  const element = h("div", {
    class: "fm-strip",
    role: "radiogroup",
    "aria-label": "Images",
    "data-role": "images",
    hidden: true,
  });

  session.on(["images"], build);
  session.on(["stale"], () => mark(false));
  const { signal } = session.shell;
  on(element, "click", click, signal);
  on(element, "keydown", key, signal);

  function build(): void {
    const { images } = session;
    const names = images?.names ?? [];
    element.hidden = names.length < 2;
    if (!images) return;
    const one = (name: string, i: number): HTMLElement =>
      h(
        "div",
        { role: "radio", "aria-label": name, title: name, "data-image": i, tabindex: -1 },
        thumbnail(images, i),
      );
    fill(element, ...names.map(one));
    mark(false);
  }

  function mark(focus: boolean): void {
    const current = session.image.get();
    for (const item of element.children as HTMLCollectionOf<HTMLElement>) {
      const chosen = Number(item.dataset.image) === current;
      item.setAttribute("aria-checked", String(chosen));
      item.tabIndex = chosen ? 0 : -1;
      if (!chosen) continue;
      if (focus) item.focus({ preventScroll: true });
      // Only the strip scrolls, not the notebook around it.
      element.scrollLeft = item.offsetLeft - element.clientWidth / 2;
    }
  }

  function click(event: MouseEvent): void {
    const chosen = imageOf(event);
    if (chosen < 0) return;
    session.image.set(chosen);
    mark(true);
  }

  function key(event: KeyboardEvent): void {
    const by = stride(event);
    if (by === 0) return;
    take(event);
    const count = element.children.length;
    const now = session.image.get();
    // Arrows go round, as in any radio group.
    const to = Math.abs(by) === 1 ? (now + by + count) % count : clamp(now + by, 0, count - 1);
    session.image.set(to);
    mark(true);
  }
  return { element };
}
