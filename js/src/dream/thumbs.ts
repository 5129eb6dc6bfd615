// What each layer dreams, small: asked for with a button; a click takes the layer.

import type { Packed } from "../lib/codec.ts";
import { button } from "../lib/controls.ts";
import { fill, h, on, setProps } from "../lib/dom.ts";
import { type LayerRow, spatial } from "../lib/layers/layer.ts";
import { clamp, focused, span, stride, take } from "../lib/small.ts";
import { createPhoto } from "./jpeg.ts";
import { cut } from "./record.ts";
import type { Session } from "./session.ts";

/** So many layers at most, evenly over the network. */
const MANY = 24;

/** The layers worth a picture: those after which a network has decided something, in their order. */
export function worthy(rows: readonly LayerRow[], most = MANY): string[] {
  const seen = rows.filter((row) => row.leaf && spatial(row) && (row.shape[1] ?? 1) > 1);
  const ends = seen.filter(({ kind }) => kind === "act" || kind === "merge");
  const all = (ends.length >= 6 ? ends : seen).map(({ name }) => name);
  if (all.length <= most) return all;
  return Array.from(
    { length: most },
    (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))] as string,
  );
}

export function createThumbs(session: Session): HTMLElement {
  const { shell, layers } = session;
  const { channel: kernel, signal } = shell;
  const ask = button({ label: "Show what each layer dreams", onClick: begin }, signal);
  const row = h("div", {
    class: "dr-thumbs",
    role: "radiogroup",
    "aria-label": "what each layer dreams",
    "data-role": "thumbs",
  });
  const element = h("section", { class: "dr-layers", "aria-label": "layers" }, ask, row);
  const items = new Map<string, ReturnType<typeof createItem>>();
  row.hidden = true;
  kernel.on("thumbs", ({ blob, status }) => {
    if (blob) addAll(blob);
    if (status !== "partial") show();
  });
  kernel.onStatus(show);
  session.on(["lock"], show);
  session.on(["start"], () => {
    if (!items.size) for (const blob of session.kept("thumbs")) addAll(blob);
  });
  layers.current.on(show);
  on(row, "keydown", key, signal);
  return element;

  function begin(): void {
    const names = worthy(layers.layers());
    items.clear();
    fill(row);
    for (const name of names) {
      const item = createItem(name);
      items.set(name, item);
      row.append(item.element);
    }
    kernel.ask("thumbs", { layers: names });
    show();
    if (focused(ask) === ask) (row.querySelector("[tabindex='0']") as HTMLElement)?.focus();
  }

  function addAll(blob: Packed): void {
    add(blob.meta.layers ?? [], cut(blob));
  }

  function add(names: readonly string[], jpegs: readonly Uint8Array[]): void {
    names.forEach((name, i) => {
      let item = items.get(name);
      if (!item) {
        // Another view asked.
        item = createItem(name);
        items.set(name, item);
        row.append(item.element);
      }
      item.photo.show(jpegs[i] ?? null, `what ${name} dreams`);
      item.element.toggleAttribute("data-there", true);
    });
    show();
  }

  function show(): void {
    const { size } = items;
    ask.hidden = size > 0 && [...items.values()].every(({ there }) => there());
    ask.disabled = session.locked || kernel.pending("thumbs");
    row.hidden = size === 0;
    const current = layers.current.get();
    const one = items.has(current) ? current : [...items.keys()][0];
    for (const [name, { element }] of items) {
      setProps(element, {
        "aria-checked": String(name === current),
        tabindex: name === one ? 0 : -1,
        "aria-disabled": session.locked ? "true" : null,
      });
    }
  }

  function createItem(name: string) {
    const label = layers.layers().find((each) => each.name === name)?.label ?? name;
    const photo = createPhoto(shell, `what ${name} dreams`);
    photo.canvas.setAttribute("aria-hidden", "true");
    const element = h(
      "div",
      { role: "radio", class: "dr-thumb", "data-layer": name, "aria-label": label, title: label },
      photo.canvas,
      // Long names break behind their dots.
      span("", label.replace(/[./]/g, "$&\u200b")),
    );
    on(element, "click", () => choose(name), signal);
    return { element, photo, there: () => element.hasAttribute("data-there") };
  }

  function choose(name: string): void {
    if (session.locked) return;
    layers.current.set(name);
    items.get(name)?.element.focus();
  }

  function key(event: KeyboardEvent): void {
    const by = stride(event);
    const names = [...items.keys()];
    const at = names.indexOf((event.target as HTMLElement).dataset.layer ?? "");
    if (at < 0) return;
    if (by) {
      take(event);
      choose(names[clamp(at + by, 0, names.length - 1)] as string);
    } else if (event.key === " " || event.key === "Enter") {
      take(event);
      choose(names[at] as string);
    }
  }
}
