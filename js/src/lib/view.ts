// The frame around every widget: head with menu, banner, body, error line, status line with
// progress and Stop; theme, offline state, redrawing and cleanup. A widget's file is
//
//   export default { render: (context) => mount("stem", context, build) }
//
// and build(shell) draws into shell.body.

import "./base.css";
import { type Args, Channel } from "./channel.ts";
import { FAILED, h, nearest, on } from "./dom.ts";
import { Footer } from "./footer.ts";
import { Header } from "./header.ts";
import type { Model, State } from "./messages.ts";
import { Theme } from "./theme.ts";

export interface Context {
  model: Model;
  el: HTMLElement;
  /** Aborted when the view goes; hosts before anywidget 0.11 pass none and call the cleanup. */
  signal?: AbortSignal;
}

export interface Trait<T> {
  get(): T;
  /** Set it here and, when there is a kernel, there. */
  set(value: T): void;
  /** Hear changes, made here or in the kernel. */
  on(fn: (value: T) => void): void;
}

/** Busy is shown only after this long, so that quick answers do not flicker. */
const BUSY_MS = 150;

export class Shell {
  readonly root: HTMLElement;
  /** The top line, left of the menu; empty unless the widget fills it. */
  readonly head: HTMLElement;
  /** Where the widget draws. */
  readonly body = h("div", { class: "nbc-body" });
  readonly channel: Channel;
  readonly theme: Theme;
  readonly #model: Model;
  readonly #header: Header;
  readonly #footer: Footer;
  readonly #banner = h("div", { class: "nbc-banner", role: "alert", hidden: true });
  readonly #drawFns: Array<() => void> = [];
  readonly #sizeFns: Array<(width: number) => void> = [];
  #frame = 0;
  #width = 0;
  #busyTimer: ReturnType<typeof setTimeout> | undefined;
  #unsaved = false;
  #gone = false;

  constructor(
    name: string,
    model: Model,
    el: HTMLElement,
    /** Aborted when the view goes; every listener hangs on it. */
    readonly signal: AbortSignal,
  ) {
    this.#model = model;
    this.root = h("div", {
      class: "nbcnnviz",
      "data-widget": name,
      "data-state": "idle",
      // JupyterLab's one-letter commands must not fire while the keyboard is in here; tabindex
      // lets a click anywhere in the widget take the keyboard.
      "data-lm-suppress-shortcuts": "true",
      tabindex: -1,
    });
    this.channel = new Channel(model, { signal, onError: (error) => this.failed(error) });
    this.#header = new Header(this.channel, signal);
    this.head = this.#header.left;
    this.#footer = new Footer(this.channel.saved, () => this.channel.stop(), signal);
    this.#footer.onError = () => this.#showState();
    this.root.append(
      this.#header.el,
      this.#banner,
      this.body,
      this.#footer.el,
      this.#header.panel.el,
    );
    on(this.root, FAILED, (event) => this.failed(event.detail), signal);
    el.append(this.root);
    this.theme = new Theme(
      this.root,
      () => model.get("theme"),
      signal,
      () => this.#connected(),
    );
    this.theme.onChange(() => this.redraw());
    this.#follow();
    this.#watchSize();
  }

  /** Text of the status line. Left: what the pointer is on; right: facts. undefined: unchanged. */
  status(left?: string, right?: string): void {
    this.#footer.say(left, right);
  }

  /** Show an error line; null takes it away. */
  error(message: string | null): void {
    this.#footer.error(message);
  }

  /** Hear the body's width in CSS pixels when it changes; it is never 0. */
  onResize(fn: (width: number) => void): void {
    this.#sizeFns.push(fn);
    if (this.#width > 0) this.#guard(() => fn(this.#width));
  }

  /** Draw canvases here: called once per frame after `redraw`, a new size, a change of theme and
   * a return to the page (hosts that detach an output may lose what was on a canvas). */
  onDraw(fn: () => void): void {
    this.#drawFns.push(fn);
    this.redraw();
  }

  redraw(): void {
    if (this.#frame || this.signal.aborted) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#width > 0) for (const fn of this.#drawFns) this.#guard(fn);
    });
  }

  /** Add a menu entry; returns its button. */
  entry(label: string, run: () => unknown): HTMLButtonElement {
    return this.#header.menu.add(label, run);
  }

  /** Offer "Copy as Python": lane "code", asked with these arguments, answers meta.code. */
  code(args: () => Args): void {
    this.#header.offerCode(args);
  }

  /** Mark an element: it, or the controls in it, are disabled while there is no kernel. */
  needsKernel<E extends HTMLElement>(el: E): E {
    el.dataset.needsKernel = "";
    this.#lock(el);
    return el;
  }

  /** A synced trait of the widget. */
  trait<T>(name: string): Trait<T> {
    const model = this.#model;
    return {
      get: () => model.get(name) as T,
      set: (value) => {
        if (model.get(name) === value) return;
        model.set(name, value);
        if (this.channel.state.offline) this.#unsaved = true;
        else model.save_changes();
      },
      on: (fn) => this.#listen(`change:${name}`, () => fn(model.get(name) as T)),
    };
  }

  /** Show an exception as an error line. */
  failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.error(`This widget failed here: ${message || "no reason was given"}`);
  }

  /** Listen to an event of the model until the view goes. */
  #listen(event: string, fn: () => void): void {
    const run = (): void => this.#guard(fn);
    this.#model.on(event, run);
    this.signal.addEventListener("abort", () => this.#model.off(event, run), { once: true });
  }

  #guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      console.error(error);
      this.failed(error);
    }
  }

  /** Tie the frame to the channel and to the traits that every widget has. */
  #follow(): void {
    const { channel } = this;
    const [header, footer, model] = [this.#header, this.#footer, this.#model];
    channel.on("*", (reply) => footer.reply(reply));
    channel.onProgress((progress) => footer.progress(progress));
    channel.onStatus((state) => this.#follows(state));
    this.#listen("change:theme", () => this.theme.refresh());
    // anywidget's model does not tell what its comm is now, only that it changed.
    this.#listen("comm_live_update", () => this.channel.doubt());
    header.about(model.get("_about"));
    this.#listen("change:_about", () => header.about(model.get("_about")));
    this.signal.addEventListener("abort", () => {
      clearTimeout(this.#busyTimer);
      cancelAnimationFrame(this.#frame);
      this.root.remove();
    });
  }

  #follows(state: State): void {
    clearTimeout(this.#busyTimer);
    if (state.busy) this.#busyTimer = setTimeout(() => this.#showState(), BUSY_MS);
    else this.#showState();
    if (!state.offline && this.#unsaved) {
      this.#unsaved = false;
      this.#model.save_changes();
    }
  }

  #showState(): void {
    const { busy, own, offline } = this.channel.state;
    this.root.dataset.state = offline
      ? "offline"
      : busy
        ? "busy"
        : this.#footer.hasError
          ? "error"
          : "idle";
    this.#footer.busy(busy, own);
    this.#banner.hidden = offline === null;
    this.#banner.textContent =
      offline === "silent"
        ? "Kernel gone or busy: showing the last state. It goes on as soon as the kernel answers."
        : "Kernel gone: showing the last state. Run the cell again to go on.";
    for (const el of this.root.querySelectorAll<HTMLElement>("[data-needs-kernel]")) this.#lock(el);
  }

  /** Disable what needs the kernel, or give back what was disabled for that reason. */
  #lock(el: HTMLElement): void {
    const offline = this.channel.state.offline !== null;
    const kinds = "button,input,select,textarea";
    const inside = [...el.querySelectorAll<HTMLButtonElement>(kinds)];
    for (const control of el.matches(kinds) ? [el as HTMLButtonElement] : inside) {
      if (offline && !control.disabled) {
        control.disabled = true;
        control.dataset.offline = "";
      } else if (!offline && "offline" in control.dataset) {
        control.disabled = false;
        delete control.dataset.offline;
      }
    }
  }

  /** The host marks a view whose kernel is gone, on the view's element or above it. */
  #connected(): void {
    const mark = nearest(this.root, ".jupyter-widgets-disconnected");
    const gone = mark !== null || this.#model.comm_live === false;
    if (gone === this.#gone) return;
    this.#gone = gone;
    this.channel.disconnected(gone);
  }

  #watchSize(): void {
    const look = (): void => {
      const width = this.body.clientWidth;
      if (width === 0) {
        this.#width = 0;
        return;
      }
      const back = this.#width === 0;
      if (back) this.theme.refresh();
      if (back) this.#connected();
      if (width !== this.#width) {
        this.#width = width;
        for (const fn of this.#sizeFns) this.#guard(() => fn(width));
      }
      this.redraw();
    };
    const size = new ResizeObserver(look);
    // Scrolled back into sight: what the host dropped meanwhile is drawn again.
    const sight = new IntersectionObserver(look);
    size.observe(this.body);
    sight.observe(this.root);
    on(window, "resize", look, this.signal); // also when the browser's zoom changes
    this.signal.addEventListener("abort", () => {
      size.disconnect();
      sight.disconnect();
    });
  }
}

/** Put a widget into `context.el`; returns the cleanup for hosts that pass no signal. */
export function mount(
  name: string,
  { model, el, signal }: Context,
  build: (shell: Shell) => void,
): () => void {
  const abort = new AbortController();
  const end = (): void => abort.abort();
  if (signal?.aborted) return end;
  signal?.addEventListener("abort", end, { once: true, signal: abort.signal });
  const shell = new Shell(name, model, el, abort.signal);
  try {
    build(shell);
  } catch (error) {
    console.error(error);
    shell.body.replaceChildren();
    shell.failed(error);
  }
  return end;
}
