// The layer's name, which is also how to find another one: a combobox after the ARIA pattern.

import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { plural, shape } from "../lib/format.ts";
import { colourKind, compact, describeLayer, KINDS, marks } from "./describe.ts";
import { type LayerRow, spatial } from "./layer_maps.ts";
import type { Session } from "./session.ts";
import { box, clamp, span, stride, take, uniqueId } from "./small.ts";

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
  const count = span("fm-picker-count");
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
  const legend = KINDS.map((kind) =>
    h("span", null, h("i", { class: `fm-kind fm-kind-${kind}` }), kind),
  );
  const foot = box("fm-legend", ...legend, count);
  const popup = h("div", { class: "fm-popup", hidden: true }, listbox, foot);
  const chevron = h("span", { class: "fm-chevron", "aria-hidden": "true" });
  const element = box("fm-picker", input, chevron, popup);
  session.on(["stale", "layers"], show);
  const { signal } = session.shell;
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

  function isOpen(): boolean {
    return !popup.hidden;
  }

  function show(): void {
    const name = session.row?.label ?? session.layer.get();
    if (!typed) input.value = name;
    // As wide as the name, within limits: figures beside it must not move far.
    input.style.width = `calc(${clamp(name.length, 12, 40) * 1.05}ch + 40px)`;
    setProps(input, { title: session.layer.get() });
  }

  function type(): void {
    typed = true;
    if (isOpen()) refill();
    else open();
  }

  function open(): void {
    if (isOpen()) return;
    popup.hidden = false;
    input.setAttribute("aria-expanded", "true");
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
    const { layers } = session;
    const name = session.layer.get();
    found = filterLayers(layers, typed ? input.value : "");
    fill(listbox, ...found.map((row, i) => option(row, i)));
    text(count, `${found.length} of ${plural(layers.length, "layer")}`);
    const current = found.findIndex((row) => row.name === name);
    active = -1;
    activate(current >= 0 ? current : found.findIndex(spatial), true);
  }

  function option(row: LayerRow, i: number): HTMLElement {
    const bad = row.nan > 0 || row.inf > 0;
    const found = marks(row);
    const part = (name: string, value: string) => span(`fm-opt-${name}`, value);
    return h(
      "li",
      {
        role: "option",
        id: `${id}-${i}`,
        "data-index": i,
        "data-layer": row.name,
        "aria-selected": row.name === session.layer.get() ? "true" : "false",
        "aria-disabled": spatial(row) ? null : "true",
        title: describeLayer(row),
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
    setProps(input, { "aria-activedescendant": option?.id ?? null });
    if (scroll) option?.scrollIntoView({ block: "nearest" });
  }

  function choose(index: number): void {
    const row = found[index];
    if (!row || !spatial(row)) return;
    close();
    session.layer.set(row.name);
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
