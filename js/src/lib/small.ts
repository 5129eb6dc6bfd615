// Small things that several parts of a widget do.

import { type Child, h } from "./dom.ts";

/** A <div> with a class. */
export function box(name: string, ...children: Child[]): HTMLElement {
  return h("div", { class: name }, ...children);
}

/** A <span> with a class. */
export function span(name: string, ...children: Child[]): HTMLElement {
  return h("span", { class: name }, ...children);
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

/** This key is ours: neither the page nor the notebook gets it. */
export function take(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}

/** An id for ARIA references, unlike those of other views in the page. */
export function uniqueId(): string {
  return `nbc-${Math.random().toString(36).slice(2, 10)}`;
}

/** What has the keyboard, in the document or the shadow root that holds an element. */
export function focused(element: Element): Element | null {
  return (element.getRootNode() as Document).activeElement;
}

const STRIDES: Record<string, number> = {
  ArrowLeft: -1,
  ArrowUp: -1,
  ArrowRight: 1,
  ArrowDown: 1,
  PageUp: -10,
  PageDown: 10,
  Home: -1e9,
  End: 1e9,
};

/** Rows and columns that an arrow key leads on; null for other keys, and for the host's. */
export function arrow(event: KeyboardEvent): readonly [rows: number, columns: number] | null {
  const by = event.key.startsWith("Arrow") && stride(event);
  if (!by) return null;
  return /Up|Down/.test(event.key) ? [by, 0] : [0, by];
}

/** Where a key that leads `by` on leads to in a list; arrows go round. */
export function roving(at: number, by: number, count: number): number {
  return Math.abs(by) === 1 ? (at + by + count) % count : clamp(at + by, 0, count - 1);
}

/** How far a key leads in a list; 0 for keys that do not move, and for those of the host. */
export function stride(event: KeyboardEvent): number {
  const host = event.ctrlKey || event.altKey || event.metaKey;
  return host ? 0 : (STRIDES[event.key] ?? 0);
}
