// The images as a strip of thumbnails: a radio group, so that arrow keys choose.

import { fill, h, on, setProps } from "../dom.ts";
import { roving, stride, take } from "../small.ts";
import { type ImageChoice, imageOf, thumbnail } from "./images.ts";

export function createStrip({ shell, images, current, onImages }: ImageChoice) {
  const element = h("div", {
    class: "nbc-strip",
    role: "radiogroup",
    "aria-label": "Images",
    "data-role": "images",
    hidden: true,
  });

  const { signal } = shell;
  onImages(build);
  current.on(() => mark(false));
  on(element, "click", click, signal);
  on(element, "keydown", key, signal);
  build();

  function build(): void {
    const all = images();
    const names = all?.names ?? [];
    element.hidden = names.length < 2;
    if (!all) return;
    const one = (name: string, i: number): HTMLElement =>
      h(
        "div",
        { role: "radio", "aria-label": name, title: name, "data-image": i, tabindex: -1 },
        thumbnail(all, i),
      );
    fill(element, ...names.map(one));
    mark(false);
  }

  function mark(focus: boolean): void {
    const index = current.get();
    for (const item of element.children as HTMLCollectionOf<HTMLElement>) {
      const chosen = Number(item.dataset.image) === index;
      setProps(item, { "aria-checked": String(chosen) });
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
    current.set(chosen);
    mark(true);
  }

  function key(event: KeyboardEvent): void {
    const by = stride(event);
    if (by === 0) return;
    take(event);
    current.set(roving(current.get(), by, element.children.length));
    mark(true);
  }
  return { element };
}
