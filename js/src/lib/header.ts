// The line above a widget: its own head, "about", the menu, and the panel both open.

import type { Args, Channel } from "./channel.ts";
import { button } from "./controls.ts";
import { h } from "./dom.ts";
import { plural } from "./format.ts";
import { codeBox, type Menu, menu, type Panel, panel } from "./menu.ts";

export class Header {
  readonly left = h("div", { class: "nbc-head" });
  readonly menu: Menu;
  readonly panel: Panel;
  readonly el: HTMLElement;
  readonly #more = h("span", { class: "nbc-wide" });
  #network = "";
  #assumptions: string[] = [];

  readonly #channel: Channel;
  readonly #signal: AbortSignal;

  constructor(channel: Channel, signal: AbortSignal) {
    this.#channel = channel;
    this.#signal = signal;
    this.panel = panel(signal);
    this.menu = menu(signal);
    const about = button({ label: "about", onClick: () => this.#showAbout() }, signal);
    about.classList.add("nbc-ghost");
    about.setAttribute("aria-haspopup", "dialog");
    about.append(this.#more);
    this.el = h("header", { class: "nbc-header" }, this.left, about, this.menu.el);
  }

  /** Take trait `_about`: what network this is, and what had to be guessed of it. */
  about(value: unknown): void {
    const about = (value ?? {}) as { network?: unknown; assumptions?: unknown };
    this.#network = String(about.network ?? "");
    const list = Array.isArray(about.assumptions) ? about.assumptions : [];
    this.#assumptions = list.map(String);
    this.#more.textContent = list.length ? ` · ${plural(list.length, "assumption")}` : "";
  }

  /** Add the menu entry "Copy as Python". */
  offerCode(args: () => Args): void {
    this.menu.add("Copy as Python", () => this.#channel.ask("code", args()));
    this.#channel.on("code", ({ blob }) => {
      const code = blob?.meta.code;
      if (typeof code === "string") this.panel.show("As Python", codeBox(code, this.#signal));
    });
  }

  #showAbout(): void {
    const items = this.#assumptions.map((sentence) => h("li", null, sentence));
    const network = h("p", null, h("strong", null, this.#network || "A network without a name"));
    const told = items.length
      ? [
          h("p", { class: "nbc-muted" }, "Assumed, because nothing said otherwise:"),
          h("ul", null, ...items),
        ]
      : [h("p", { class: "nbc-muted" }, "Nothing had to be guessed.")];
    this.panel.show("About", network, ...told);
  }
}
