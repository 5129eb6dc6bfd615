// The line above a widget: its own head, "about", the menu, and the panel both open.

import type { Args, Channel } from "./channel.ts";
import { button } from "./controls.ts";
import { h, setProps, text } from "./dom.ts";
import { plural } from "./format.ts";
import { codeBox, menu, panel } from "./menu.ts";
import { box, span } from "./small.ts";

export function createHeader(channel: Channel, signal: AbortSignal) {
  const left = box("nbc-head");
  const over = panel(signal);
  const entries = menu(signal);
  const more = span("nbc-wide");
  const opener = button({ label: "about", ghost: true, onClick: showAbout }, signal);
  setProps(opener, { "aria-haspopup": "dialog" });
  opener.append(more);
  const element = h("header", { class: "nbc-header" }, left, opener, entries.el);
  let network = "";
  let repr = "";
  let assumptions: string[] = [];
  return { element, left, panel: over.el, add: entries.add, about, offerCode };

  /** Take trait `_about`: what network this is, and what had to be guessed of it. */
  function about(value: unknown): void {
    const about = (value ?? {}) as Record<string, unknown>;
    network = String(about.network ?? "");
    repr = String(about.repr ?? "");
    assumptions = Array.isArray(about.assumptions) ? about.assumptions.map(String) : [];
    const { length } = assumptions;
    text(more, length ? ` · ${plural(length, "assumption")}` : "");
  }

  /** Add the menu entry "Copy as Python". */
  function offerCode(args: () => Args): void {
    entries.add("Copy as Python", () => channel.ask("code", args()));
    channel.on("code", ({ blob }) => {
      const code = blob?.meta.code;
      if (typeof code === "string") over.show("As Python", codeBox(code, signal));
    });
  }

  function showAbout(): void {
    const name = h("p", null, h("strong", null, network || "A network without a name"));
    const sure =
      !assumptions.length && h("p", { class: "nbc-muted" }, "Nothing had to be guessed.");
    over.show("About", name, told(), sure);
  }

  /** The network's own words, which name the assumptions too; else those alone. */
  function told(): HTMLElement | false {
    if (repr) {
      const props = { class: "nbc-pre", tabindex: 0, "aria-label": "The network in full" };
      return h("pre", props, repr);
    }
    const items = assumptions.map((sentence) => h("li", null, sentence));
    return items.length > 0 && h("ul", null, ...items);
  }
}
