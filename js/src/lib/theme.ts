// Light or dark, as the host is; base.css holds the colours.
//
// The root gets data-theme="light|dark". When that is also what the host shows, it gets data-host
// too, and base.css then takes background, text and accent from the host's own variables. Canvas
// text does not inherit CSS: who draws one redraws it in `onChange`.

import { h, lineage, nearest } from "./dom.ts";

export type Shade = "light" | "dark";

const DARK =
  "[data-jp-theme-light=false],[data-vscode-theme-kind*=dark],.vscode-dark,html[theme=dark],.dark,[data-theme=dark]";
const LIGHT =
  "[data-jp-theme-light=true],[data-vscode-theme-kind*=light],.vscode-light,html[theme=light],.light,[data-theme=light]";
const BLACK =
  "[data-vscode-theme-kind=vscode-high-contrast],.vscode-high-contrast:not(.vscode-high-contrast-light)";

/** What the host shows: its own word, else what the system prefers. */
export function hostShade(el: Element): Shade {
  // The root carries data-theme itself, so look from its parent on.
  const from = el.parentElement ?? (el.getRootNode() as ShadowRoot).host ?? el;
  const marked = from === el ? null : nearest(from, `${DARK},${LIGHT},${BLACK}`);
  if (marked) return marked.matches(`${DARK},${BLACK}`) ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export class Theme {
  readonly #fns: Array<() => void> = [];
  readonly #observer: MutationObserver;
  #watched: Element | null = null;
  readonly #probe = h("span", { hidden: true });
  #seen = "";

  /** `chosen` gives the widget's setting: "auto", "light" or "dark". */
  readonly #root: HTMLElement;
  readonly #chosen: () => unknown;

  constructor(
    root: HTMLElement,
    chosen: () => unknown,
    signal: AbortSignal,
    /** Called too when a mark on an ancestor changes: what else hangs on such marks. */
    onMarks: () => void = () => {},
  ) {
    this.#root = root;
    this.#chosen = chosen;
    this.#observer = new MutationObserver(() => {
      this.refresh();
      onMarks();
    });
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", () => this.refresh(), { signal });
    signal.addEventListener("abort", () => this.#observer.disconnect(), { once: true });
    root.append(this.#probe);
    this.refresh();
  }

  get shade(): Shade {
    return this.#root.dataset.theme === "dark" ? "dark" : "light";
  }

  /** A colour of base.css as canvases take it: color("--nbc-fg"). */
  color(token: string): string {
    // The token itself may be a color-mix() of other tokens; as somebody's colour it is computed.
    this.#probe.style.color = `var(${token})`;
    return getComputedStyle(this.#probe).color;
  }

  /** Called after the colours have changed. */
  onChange(fn: () => void): void {
    this.#fns.push(fn);
  }

  /** Look again: the setting, the host or the place in the page may have changed. */
  refresh(): void {
    this.#watch();
    const host = hostShade(this.#root);
    const chosen = this.#chosen();
    const shade = chosen === "light" || chosen === "dark" ? chosen : host;
    this.#root.dataset.theme = shade;
    this.#root.toggleAttribute("data-host", shade === host);
    const now = [
      shade,
      ...["--nbc-bg", "--nbc-fg", "--nbc-accent"].map((t) => this.color(t)),
    ].join();
    if (now === this.#seen) return;
    const first = this.#seen === "";
    this.#seen = now;
    if (!first) for (const fn of this.#fns) fn();
  }

  /** Watch the marks on all ancestors; a moved or late attached widget has other ones. */
  #watch(): void {
    const parent = this.#root.parentNode;
    const top = [...lineage(this.#root)].pop() ?? null;
    if (top === this.#watched && parent) return;
    this.#watched = top;
    this.#observer.disconnect();
    for (const el of lineage(this.#root)) {
      if (el === this.#root) continue;
      const page = el === document.documentElement || el === document.body;
      const more = page ? ["style", "theme", "data-jp-theme-light", "data-vscode-theme-kind"] : [];
      this.#observer.observe(el, { attributeFilter: ["class", "data-theme", ...more] });
    }
  }
}
