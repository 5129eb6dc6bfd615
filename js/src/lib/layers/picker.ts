// The layer's name, which is also how to find another one: a combobox after the ARIA pattern.

import { fill, h, on, setProps, text } from "../dom.ts";
import { plural, shape } from "../format.ts";
import { box, clamp, span, stride, take, uniqueId } from "../small.ts";
import {
  chosen,
  colourKind,
  compact,
  describeLayer,
  type LayerChoice,
  type LayerRow,
  marks,
} from "./layer.ts";
import { createLegend, swatch } from "./legend.ts";

/** Layers of which every word of `query` occurs in name, label, module, kind, shape or marks; those
 * come first whose name is meant: who types "conv2" does not want all of class Conv2d. */
export function filterLayers(layers: readonly LayerRow[], query: string): LayerRow[] {
  const typed = query.trim().toLowerCase();
  const words = typed.split(/\s+/);
  /** 0: the name itself; 1: it begins so; 2: it holds the words; 3: another part does; 4: none. */
  const rank = (row: LayerRow): number => {
    const names = [row.name.toLowerCase(), row.label.toLowerCase()];
    if (names.includes(typed)) return 0;
    if (names.some((name) => name.startsWith(typed))) return 1;
    if (words.every((word) => names[0]?.includes(word))) return 2;
    const parts = [...names, row.module, row.kind, shape(row.shape), ...marks(row)];
    const hay = parts.join(" ").toLowerCase();
    return words.every((word) => hay.includes(word)) ? 3 : 4;
  };
  const ranked = layers.map((row) => ({ row, place: rank(row) })).filter(({ place }) => place < 4);
  return ranked.sort((a, b) => a.place - b.place).map(({ row }) => row);
}

export function createPicker(choice: LayerChoice) {
  const count = span("nbc-picker-count");
  const id = uniqueId();
  let found: LayerRow[] = [];
  let active = -1;
  let typed = false;

  const input = h("input", {
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
  const foot = box("nbc-picker-foot", createLegend(choice).element, count);
  const popup = h("div", { class: "nbc-popup", hidden: true }, listbox, foot);
  const chevron = h("span", { class: "nbc-chevron", "aria-hidden": "true" });
  const element = box("nbc-picker", input, chevron, popup);
  const { shell, layers, current, usable } = choice;
  const { signal } = shell;
  current.on(show);
  choice.onLayers(show);
  on(input, "input", type, signal);
  on(input, "keydown", key, signal);
  on(input, "pointerdown", open, signal);
  on(input, "focus", () => input.select(), signal);
  on(input, "blur", close, signal);
  // The list must not take the focus, or the input would close it before the click arrives.
  on(popup, "mousedown", (event) => event.preventDefault(), signal);
  on(listbox, "click", (event) => choose(optionOf(event)), signal);
  const hover = (event: PointerEvent): void => activate(optionOf(event), false);
  on(listbox, "pointermove", hover, signal);
  show();

  function isOpen(): boolean {
    return !popup.hidden;
  }

  function show(): void {
    const name = chosen(choice)?.label ?? current.get();
    if (!typed) input.value = name;
    // As wide as the name, within limits: figures beside it must not move far.
    input.style.width = `calc(${clamp(name.length, 12, 40) * 1.05}ch + 40px)`;
    setProps(input, { title: current.get() });
  }

  function type(): void {
    typed = true;
    if (isOpen()) refill();
    else open();
  }

  function open(): void {
    if (isOpen()) return;
    popup.hidden = false;
    setProps(input, { "aria-expanded": "true" });
    refill();
  }

  function close(): void {
    typed = false;
    popup.hidden = true;
    found = [];
    active = -1;
    fill(listbox);
    setProps(input, { "aria-expanded": "false", "aria-activedescendant": null });
    show();
  }

  function refill(): void {
    const all = layers();
    found = filterLayers(all, typed ? input.value : "");
    fill(listbox, ...found.map((row, i) => option(row, i)));
    text(count, `${found.length} of ${plural(all.length, "layer")}`);
    // What was typed means the best match, which need not be the layer that is shown.
    const shown = typed ? -1 : found.findIndex((row) => row.name === current.get());
    active = -1;
    activate(shown >= 0 ? shown : found.findIndex(usable), true);
  }

  function option(row: LayerRow, i: number): HTMLElement {
    const bad = row.nan > 0 || row.inf > 0;
    const found = marks(row);
    const part = (name: string, value: string) => span(`nbc-opt-${name}`, value);
    return h(
      "li",
      {
        role: "option",
        id: `${id}-${i}`,
        "data-index": i,
        "data-layer": row.name,
        "aria-selected": row.name === current.get() ? "true" : "false",
        "aria-disabled": usable(row) ? null : "true",
        title: describeLayer(row),
      },
      swatch(row.leaf ? colourKind(row.kind) : "block"),
      part("name", row.label),
      part("module", row.module),
      part("shape", shape(row.shape)),
      part("count", row.parameters ? compact(row.parameters) : ""),
      h("span", { class: bad ? "nbc-opt-marks nbc-bad" : "nbc-opt-marks" }, found.join(" · ")),
    );
  }

  function optionOf(event: Event): number {
    const option = (event.target as Element).closest("[data-index]");
    return option ? Number(option.getAttribute("data-index")) : -1;
  }

  function activate(index: number, scroll: boolean): void {
    if (index === active || index < 0) return;
    listbox.children[active]?.classList.remove("nbc-active");
    active = index;
    const option = listbox.children[index] as HTMLElement | undefined;
    option?.classList.add("nbc-active");
    setProps(input, { "aria-activedescendant": option?.id ?? null });
    if (scroll) option?.scrollIntoView({ block: "nearest" });
  }

  function choose(index: number): void {
    const row = found[index];
    if (!row || !usable(row)) return;
    close();
    current.set(row.name);
    show();
  }

  function key(event: KeyboardEvent): void {
    const by = /Up|Down/.test(event.key) ? stride(event) : 0;
    const act = by !== 0 || event.key === "Enter" || (event.key === "Escape" && isOpen());
    if (event.isComposing || !act) return;
    take(event);
    if (event.key === "Escape") close();
    else if (!isOpen()) open();
    else if (by) activate(clamp(active + by, 0, found.length - 1), true);
    else choose(active);
  }
  return { element };
}
