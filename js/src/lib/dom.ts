// Building and listening: the only place where elements are made. Text goes in as text, never as
// markup, so that a class name such as "<img onerror=...>" is shown and not run.

export type Child = Node | string | number | null | undefined | false;
type Value = string | number | boolean | null | undefined;

/** Make an element. `class`, `aria-*`, `data-*` and the rest are attributes; true is an empty
 * attribute; false, null and undefined leave it out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props?: Record<string, Value> | null,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  if (props) setProps(el, props);
  append(el, children);
  return el;
}

/** Set or remove attributes, in the sense of `h`. */
export function setProps(el: Element, props: Record<string, Value>): void {
  for (const [name, value] of Object.entries(props)) {
    if (/^(on|srcdoc$)/i.test(name)) throw new Error(`attribute ${name} is not allowed; use on()`);
    if (value === false || value === null || value === undefined) el.removeAttribute(name);
    else el.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(el: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    el.append(typeof child === "number" ? String(child) : child);
  }
}

/** Replace the children of an element. */
export function fill(el: Element, ...children: Child[]): void {
  el.replaceChildren();
  append(el, children);
}

/** Change the text only when it differs: writing the same text again costs layout and is read out. */
export function text(el: Element, value: string): void {
  if (el.textContent !== value) el.textContent = value;
}

/** The event a failing handler sends up the tree; view.ts listens for it on the root. */
export const FAILED = "nbcnnviz-failed";

/** Report an error from somewhere below the root: the view shows it as text. */
export function fail(el: EventTarget, error: unknown): void {
  console.error(error);
  el.dispatchEvent(new CustomEvent(FAILED, { bubbles: true, composed: true, detail: error }));
}

type Events = HTMLElementEventMap & { [FAILED]: CustomEvent<unknown> };

/** Listen until the signal aborts. A handler that throws (or rejects) shows as an error in the view. */
export function on<K extends keyof Events>(
  el: EventTarget,
  type: K,
  fn: (event: Events[K]) => unknown,
  signal: AbortSignal,
  options: AddEventListenerOptions = {},
): void {
  const listener = (event: Event): void => {
    try {
      const result = fn(event as Events[K]);
      if (result instanceof Promise) result.catch((error) => fail(el, error));
    } catch (error) {
      fail(el, error);
    }
  };
  el.addEventListener(type, listener, { ...options, signal });
}

/** Run this when the view goes. */
export function atEnd(signal: AbortSignal, fn: () => void): void {
  signal.addEventListener("abort", fn, { once: true });
}

/** Hear when an element has another size. */
export function onSize(el: Element, fn: () => void, signal: AbortSignal): void {
  const observer = new ResizeObserver(fn);
  observer.observe(el);
  atEnd(signal, () => observer.disconnect());
}

/** What an exception says. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The element and its ancestors, through shadow roots up to <html>. */
export function* lineage(el: Element): Generator<Element> {
  let node: Node | null = el;
  while (node) {
    if (node instanceof Element) yield node;
    node = node.parentNode ?? (node instanceof ShadowRoot ? node.host : null);
  }
}

/** The nearest of the element and its ancestors (through shadow roots) that matches. */
export function nearest(el: Element, selector: string): Element | null {
  for (const node of lineage(el)) if (node.matches(selector)) return node;
  return null;
}
