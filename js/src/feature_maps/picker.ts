// The layer's name, which is also how to find another one: a combobox after the ARIA pattern.

import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { plural, shape } from "../lib/format.ts";
import { colourKind, compact, KINDS, marks } from "./describe.ts";
import { type LayerRow, spatial } from "./layer_maps.ts";
import type { Session } from "./session.ts";

/** Layers of which every word of `query` occurs in name, label, module, kind or shape. */
export function filterLayers(layers: readonly LayerRow[], query: string): LayerRow[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return layers.filter((row) => {
    const parts = [row.name, row.label, row.module, row.kind, shape(row.shape), ...marks(row)];
    const hay = parts.join(" ").toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}

export function createPicker(session: Session) {
  const count = h("span", { class: "fm-picker-count" });
  const id = `fm-${Math.random().toString(36).slice(2, 10)}`;
  let found: LayerRow[] = [];
  let active = -1;
  let typed = false;

  const box = h("input", {
    type: "text",
    role: "combobox",
    "aria-label": "Layer",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": `${id}-list`,
    autocomplete: "off",
    spellcheck: "false",
    "data-role": "picker",
  });
  const listbox = h("ul", { role: "listbox", id: `${id}-list`, "aria-label": "Layers" });
  const legend = KINDS.map((kind) =>
    h("span", null, h("i", { class: `fm-kind fm-kind-${kind}` }), kind),
  );
  const foot = h("div", { class: "fm-legend", "aria-hidden": "true" }, ...legend, count);
  const popup = h("div", { class: "fm-popup", hidden: true }, listbox, foot);
  const chevron = h("span", { class: "fm-chevron", "aria-hidden": "true" });
  const element = h("div", { class: "fm-picker" }, box, chevron, popup);
  session.on(["stale", "layers"], show);
  const { signal } = session.shell;
  on(box, "input", type, signal);
  on(box, "keydown", key, signal);
  on(box, "pointerdown", open, signal);
  on(box, "focus", () => box.select(), signal);
  on(box, "blur", close, signal);
  // The list must not take the focus, or the input would close it before the click arrives.
  on(popup, "mousedown", (event) => event.preventDefault(), signal);
  on(listbox, "click", (event) => choose(optionOf(event)), signal);
  const hover = (event: PointerEvent): void => activate(optionOf(event), false);
  on(listbox, "pointermove", hover, signal);

  function isOpen(): boolean {
    return !popup.hidden;
  }

  function show(): void {
    const name = session.row?.label ?? session.layer.get();
    if (!typed) box.value = name;
    // As wide as the name, within limits: figures beside it must not move far.
    box.style.width = `calc(${Math.min(40, Math.max(12, name.length)) * 1.05}ch + 40px)`;
    setProps(box, { title: session.layer.get() });
  }

  function type(): void {
    typed = true;
    if (isOpen()) refill();
    else open();
  }

  function open(): void {
    if (isOpen()) return;
    popup.hidden = false;
    box.setAttribute("aria-expanded", "true");
    refill();
  }

  function close(): void {
    typed = false;
    popup.hidden = true;
    found = [];
    active = -1;
    fill(listbox);
    setProps(box, { "aria-expanded": "false", "aria-activedescendant": null });
    show();
  }

  function refill(): void {
    const { layers } = session;
    const name = session.layer.get();
    found = filterLayers(layers, typed ? box.value : "");
    fill(listbox, ...found.map((row, i) => option(row, i)));
    text(count, `${found.length} of ${plural(layers.length, "layer")}`);
    const current = found.findIndex((row) => row.name === name);
    active = -1;
    activate(current >= 0 ? current : found.findIndex(spatial), true);
  }

  function option(row: LayerRow, i: number): HTMLElement {
    const bad = row.nan > 0 || row.inf > 0;
    const found = marks(row);
    const part = (name: string, value: string) => h("span", { class: `fm-opt-${name}` }, value);
    const why = "Its output has no rows and columns, so there are no maps to show.";
    return h(
      "li",
      {
        role: "option",
        id: `${id}-${i}`,
        "data-index": i,
        "data-layer": row.name,
        "aria-selected": row.name === session.layer.get() ? "true" : "false",
        "aria-disabled": spatial(row) ? null : "true",
        title: spatial(row) ? row.name : `${row.name}: ${why}`,
      },
      h("i", { class: `fm-kind fm-kind-${row.leaf ? colourKind(row.kind) : "block"}` }),
      part("name", row.label),
      part("module", row.module),
      part("shape", shape(row.shape)),
      part("count", row.parameters ? compact(row.parameters) : ""),
      h("span", { class: bad ? "fm-opt-marks fm-bad" : "fm-opt-marks" }, found.join(" · ")),
    );
  }

  function optionOf(event: Event): number {
    const option = (event.target as Element).closest("[data-index]");
    return option ? Number(option.getAttribute("data-index")) : -1;
  }

  function activate(index: number, scroll: boolean): void {
    if (index === active || index < 0) return;
    listbox.children[active]?.classList.remove("fm-active");
    active = index;
    const option = listbox.children[index] as HTMLElement | undefined;
    option?.classList.add("fm-active");
    setProps(box, { "aria-activedescendant": option?.id ?? null });
    if (!option || !scroll) return;
    // Only the list scrolls: scrollIntoView would move the notebook too.
    const top = option.offsetTop;
    const bottom = top + option.offsetHeight;
    if (top < listbox.scrollTop) listbox.scrollTop = top;
    else if (bottom > listbox.scrollTop + listbox.clientHeight) {
      listbox.scrollTop = bottom - listbox.clientHeight;
    }
  }

  function choose(index: number): void {
    const row = found[index];
    if (!row || !spatial(row)) return;
    close();
    session.layer.set(row.name);
    show();
  }

  function key(event: KeyboardEvent): void {
    if (event.isComposing) return;
    const last = found.length - 1;
    const step = (by: number) => Math.min(last, Math.max(0, active + by));
    const moves: Record<string, () => void> = {
      ArrowDown: () => (isOpen() ? activate(step(1), true) : open()),
      ArrowUp: () => (isOpen() ? activate(step(-1), true) : open()),
      PageDown: () => activate(step(10), true),
      PageUp: () => activate(step(-10), true),
      Enter: () => (isOpen() ? choose(active) : open()),
      Escape: () => close(),
    };
    const move = moves[event.key];
    if (!move || (event.key === "Escape" && !isOpen())) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }
  return { element };
}
