// The header's menu and the panels it opens, all inside the root (a shadow root has no other place).

import { button } from "./controls.ts";
import { type Child, fill, h, on, setProps, text } from "./dom.ts";
import { box, focused, roving, stride, take } from "./small.ts";

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
    setProps(opener, { "aria-expanded": String(open) });
    if (open) items()[0]?.focus();
    else if (back) opener.focus();
  };
  const opener = button(
    { label: "Menu", glyph: "⋯", ghost: true, onClick: () => toggle(list.hidden === true) },
    signal,
  );
  setProps(opener, { "aria-haspopup": "menu", "aria-expanded": "false" });
  const items = (): HTMLButtonElement[] =>
    [...list.children].filter((el) => !(el as HTMLButtonElement).disabled) as HTMLButtonElement[];
  const el = box("nbc-anchor", opener, list);
  const move = (event: KeyboardEvent): void => {
    if (list.hidden) return;
    const all = items();
    const at = all.indexOf(event.target as HTMLButtonElement);
    const by = stride(event);
    if (event.key === "Escape") toggle(false, true);
    else if (by) all[roving(at, by, all.length)]?.focus();
    else return;
    take(event);
  };
  const leave = (event: FocusEvent): void => {
    if (!el.contains(event.relatedTarget as Node | null)) toggle(false);
  };
  on(el, "keydown", move, signal);
  on(el, "focusout", leave, signal);
  const add = (label: string, run: () => unknown): HTMLButtonElement => {
    const onClick = (): unknown => {
      toggle(false, true);
      return run();
    };
    const item = button({ label, onClick }, signal);
    setProps(item, { role: "menuitem", tabindex: -1 });
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
  const content = box("nbc-panel-content");
  const x = button({ label: "Close", glyph: "×", ghost: true, onClick: () => close() }, signal);
  const head = box("nbc-panel-head", title, x);
  const el = h("section", { class: "nbc-panel", hidden: true, tabindex: -1 }, head, content);
  let back: HTMLElement | null = null;
  const close = (): void => {
    if (el.hidden) return;
    el.hidden = true;
    if (back?.isConnected) back.focus();
    back = null;
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    take(event);
    close();
  };
  on(el, "keydown", key, signal);
  return {
    el,
    get open() {
      return !el.hidden;
    },
    show(name, ...children) {
      if (el.hidden) back = focused(el) as HTMLElement | null;
      text(title, name);
      setProps(el, { "aria-label": name });
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
  return box("nbc-code", pre, box("nbc-row", press, said));
}
