// The header's menu and the panels it opens, all inside the root (a shadow root has no other place).

import { button } from "./controls.ts";
import { type Child, fill, h, on, text } from "./dom.ts";

export interface Menu {
  /** The button that opens it. */
  el: HTMLElement;
  /** Add an entry; returns its button (to disable it, or change its text). */
  add(label: string, run: () => unknown): HTMLButtonElement;
}

/** A menu button after the ARIA pattern: arrows, Home, End; Escape closes. */
export function menu(signal: AbortSignal): Menu {
  const list = h("div", { class: "nbc-menu", role: "menu", hidden: true });
  const toggle = (open: boolean, back = false): void => {
    list.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    if (open) items()[0]?.focus();
    else if (back) opener.focus();
  };
  const opener = button(
    { label: "Menu", glyph: "⋯", onClick: () => toggle(list.hidden === true) },
    signal,
  );
  opener.setAttribute("aria-haspopup", "menu");
  opener.setAttribute("aria-expanded", "false");
  opener.classList.add("nbc-ghost");
  const items = (): HTMLButtonElement[] =>
    [...list.children].filter((el) => !(el as HTMLButtonElement).disabled) as HTMLButtonElement[];
  const el = h("div", { class: "nbc-anchor" }, opener, list);
  const move = (event: KeyboardEvent): void => {
    if (list.hidden) return;
    const all = items();
    const at = all.indexOf(event.target as HTMLButtonElement);
    const to: Record<string, number> = {
      ArrowDown: (at + 1) % all.length,
      ArrowUp: (at - 1 + all.length) % all.length,
      Home: 0,
      End: all.length - 1,
    };
    if (event.key === "Escape") toggle(false, true);
    else if (event.key in to) all[to[event.key] as number]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  on(el, "keydown", move, signal);
  on(
    el,
    "focusout",
    (event) => {
      if (!el.contains(event.relatedTarget as Node | null)) toggle(false);
    },
    signal,
  );
  const add = (label: string, run: () => unknown): HTMLButtonElement => {
    const item = button(
      {
        label,
        onClick: () => {
          toggle(false, true);
          return run();
        },
      },
      signal,
    );
    item.setAttribute("role", "menuitem");
    item.tabIndex = -1;
    list.append(item);
    return item;
  };
  return { el, add };
}

export interface Panel {
  el: HTMLElement;
  readonly open: boolean;
  /** Show these children under the title; focus goes in and comes back on closing. */
  show(title: string, ...children: Child[]): void;
  close(): void;
}

/** The one place over the widget where code and facts are shown. */
export function panel(signal: AbortSignal): Panel {
  const title = h("h2");
  const content = h("div", { class: "nbc-panel-content" });
  const x = button({ label: "Close", glyph: "×", onClick: () => close() }, signal);
  x.classList.add("nbc-ghost");
  const head = h("div", { class: "nbc-panel-head" }, title, x);
  const el = h("section", { class: "nbc-panel", hidden: true, tabindex: -1 }, head, content);
  let back: HTMLElement | null = null;
  const close = (): void => {
    if (el.hidden) return;
    el.hidden = true;
    if (back?.isConnected) back.focus();
    back = null;
  };
  on(
    el,
    "keydown",
    (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      event.preventDefault();
      close();
    },
    signal,
  );
  return {
    el,
    get open() {
      return !el.hidden;
    },
    show(name, ...children) {
      if (el.hidden)
        back = (el.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement;
      text(title, name);
      el.setAttribute("aria-label", name);
      fill(content, ...children);
      el.hidden = false;
      el.focus();
    },
    close,
  };
}

/** A piece of code with a button that copies it; where the clipboard refuses, it is selected. */
export function codeBox(code: string, signal: AbortSignal): HTMLElement {
  const pre = h("pre", { tabindex: 0, "aria-label": "Python code" }, h("code", null, code));
  const said = h("span", { "aria-live": "polite", class: "nbc-muted" });
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(code);
      text(said, "Copied.");
    } catch {
      const selection = getSelection();
      selection?.removeAllRanges();
      selection?.selectAllChildren(pre);
      pre.focus();
      text(said, "The browser keeps the clipboard shut: press Ctrl+C to copy the marked text.");
    }
  };
  const press = button({ label: "Copy", primary: true, onClick: copy }, signal);
  return h("div", { class: "nbc-code" }, pre, h("div", { class: "nbc-row" }, press, said));
}
