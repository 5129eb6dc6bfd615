// Light or dark, as the host is; base.css holds the colours.
//
// The root gets data-theme="light|dark". When that is also what the host shows, it gets data-host
// too, and base.css then takes background, text and accent from the host's own variables. Canvas
// text does not inherit CSS: who draws one redraws it in `onChange`.

import { atEnd, h, lineage, nearest, on } from "./dom.ts";

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

export interface ThemeProps {
  root: HTMLElement;
  /** The widget's setting: "auto", "light" or "dark". */
  chosen(): unknown;
  /** A mark on an ancestor changed: what else hangs on such marks. */
  onMarks(): void;
}

export type Theme = ReturnType<typeof createTheme>;

export function createTheme({ root, chosen, onMarks }: ThemeProps, signal: AbortSignal) {
  const fns: Array<() => void> = [];
  const probe = h("span", { hidden: true });
  let watched: Element | null = null;
  let seen = "";
  const observer = new MutationObserver(() => {
    refresh();
    onMarks();
  });
  on(matchMedia("(prefers-color-scheme: dark)"), "change", refresh, signal);
  atEnd(signal, () => observer.disconnect());
  root.append(probe);
  refresh();
  return { color, colors, onChange, refresh };

  /** A colour of base.css as canvases take it: color("--nbc-fg"). */
  function color(token: string): string {
    // The token itself may be a color-mix() of other tokens; as somebody's colour it is computed.
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  }

  /** Several at once, by what follows "--nbc-": colors("fg", "line"). */
  function colors<N extends string[]>(...names: N): { [K in keyof N]: string } {
    return names.map((name) => color(`--nbc-${name}`)) as { [K in keyof N]: string };
  }

  /** Called after the colours have changed. */
  function onChange(fn: () => void): void {
    fns.push(fn);
  }

  /** Look again: the setting, the host or the place in the page may have changed. */
  function refresh(): void {
    watch();
    const host = hostShade(root);
    const wanted = chosen();
    const shade = wanted === "light" || wanted === "dark" ? wanted : host;
    root.dataset.theme = shade;
    root.toggleAttribute("data-host", shade === host);
    const now = [shade, ...["--nbc-bg", "--nbc-fg", "--nbc-accent"].map(color)].join();
    if (now === seen) return;
    const first = seen === "";
    seen = now;
    if (!first) for (const fn of fns) fn();
  }

  /** Watch the marks on all ancestors; a moved or late attached widget has other ones. */
  function watch(): void {
    const parent = root.parentNode;
    const top = [...lineage(root)].pop() ?? null;
    if (top === watched && parent) return;
    watched = top;
    observer.disconnect();
    for (const el of lineage(root)) {
      if (el === root) continue;
      const page = el === document.documentElement || el === document.body;
      const more = page ? ["style", "theme", "data-jp-theme-light", "data-vscode-theme-kind"] : [];
      observer.observe(el, { attributeFilter: ["class", "data-theme", ...more] });
    }
  }
}
