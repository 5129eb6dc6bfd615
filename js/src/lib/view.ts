// The frame around every widget: head with menu, banner, body, error line, status line with
// progress and Stop; theme, offline state, redrawing and cleanup. A widget's file is
//
//   export default { render: (context) => mount("stem", context, build) }
//
// and build(shell) draws into shell.body.

import "./base.css";
import { createChannel } from "./channel.ts";
import { type Packed, unpack } from "./codec.ts";
import { atEnd, FAILED, h, nearest, on, onSize, setProps, wordsOf } from "./dom.ts";
import { createFooter } from "./footer.ts";
import { createHeader } from "./header.ts";
import type { Model, State } from "./messages.ts";
import { box } from "./small.ts";
import { createTheme } from "./theme.ts";

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

/** What Lumino, under JupyterLab and Notebook 7, calls an element whose keys are its own. */
const HANDS_OFF = "data-lm-suppress-shortcuts";

/** Busy is shown only after this long, so that quick answers do not flicker. */
const BUSY_MS = 150;

export type Shell = ReturnType<typeof createShell>;

/** The frame; `signal` is aborted when the view goes, and every listener hangs on it. */
function createShell(name: string, model: Model, el: HTMLElement, signal: AbortSignal) {
  const root = h("div", {
    class: "nbcnnviz",
    "data-widget": name,
    "data-state": "idle",
    // A click anywhere in the widget takes the keyboard.
    tabindex: -1,
  });
  const body = box("nbc-body");
  const banner = h("div", { class: "nbc-banner", role: "alert", hidden: true });
  const drawFns: Array<() => void> = [];
  const sizeFns: Array<(width: number) => void> = [];
  let frame = 0;
  let bodyWidth = 0;
  let busyTimer: ReturnType<typeof setTimeout> | undefined;
  let unsaved = false;
  let gone = false;

  const channel = createChannel(model, { signal, onError: failed });
  const header = createHeader(channel, signal);
  const stop = () => channel.stop();
  const footer = createFooter({ saved: channel.saved, stop, onError: showState }, signal);
  root.append(header.element, banner, body, footer.element, header.panel);
  // The notebook's commands on single keys must not fire while the keyboard is in here. The mark
  // has to be on the very element: a selector that matches it is found before one of its ancestors.
  const mark = ({ target }: Event) => setProps(target as Element, { [HANDS_OFF]: "true" });
  on(root, "focusin", mark, signal);
  on(root, FAILED, (event) => failed(event.detail), signal);
  el.append(root);
  const chosen = () => model.get("theme");
  const theme = createTheme({ root, chosen, onMarks: connected }, signal);
  theme.onChange(redraw);
  follow();
  watchSize();
  return {
    root,
    /** The top line, left of the menu; empty unless the widget fills it. */
    head: header.left,
    /** Where the widget draws. */
    body,
    channel,
    theme,
    signal,
    /** Text of the status line. Left: what the pointer is on; right: facts. undefined: unchanged. */
    status: footer.say,
    /** Show an error line; null takes it away. */
    error: (message: string | null) => footer.error(message),
    onResize,
    onDraw,
    redraw,
    /** Add a menu entry; returns its button. */
    entry: header.add,
    /** Offer "Copy as Python": lane "code", asked with these arguments, answers meta.code. */
    code: header.offerCode,
    needsKernel,
    trait,
    packed,
    failed,
  };

  /** Hear the body's width in CSS pixels when it changes; it is never 0. */
  function onResize(fn: (width: number) => void): void {
    sizeFns.push(fn);
    if (bodyWidth > 0) guard(() => fn(bodyWidth));
  }

  /** Draw canvases here: called once per frame after `redraw`, a new size, a change of theme and
   * a return to the page (hosts that detach an output may lose what was on a canvas). */
  function onDraw(fn: () => void): void {
    drawFns.push(fn);
    redraw();
  }

  function redraw(): void {
    if (frame || signal.aborted) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (bodyWidth > 0) for (const fn of drawFns) guard(fn);
    });
  }

  /** Mark an element: it, or the controls in it, are disabled while there is no kernel. */
  function needsKernel<E extends HTMLElement>(el: E): E {
    el.dataset.needsKernel = "";
    lock(el);
    return el;
  }

  /** A synced trait of the widget. */
  function trait<T>(name: string): Trait<T> {
    return {
      get: () => model.get(name) as T,
      set: (value) => {
        if (model.get(name) === value) return;
        model.set(name, value);
        save();
      },
      on: (fn) => listen(`change:${name}`, () => fn(model.get(name) as T)),
    };
  }

  /** What `read` makes of a trait of bytes. Null when it is empty or cut short on its way, which the
   * view survives: that is for the console. */
  function packed<T>(name: string, read: (blob: Packed) => T): T | null {
    const value = model.get(name);
    if (!value?.byteLength) return null;
    try {
      return read(unpack(value));
    } catch (error) {
      console.warn(`${name} is ignored.`, error);
      return null;
    }
  }

  /** Show an exception as an error line. */
  function failed(error: unknown): void {
    footer.error(`This widget failed here: ${wordsOf(error) || "no reason was given"}`);
  }

  /** Tell the kernel of traits that were set here; later, when it cannot be told now. */
  function save(): void {
    unsaved = channel.state.offline !== null;
    if (unsaved) return;
    try {
      model.save_changes();
    } catch {
      // The comm throws once its kernel was shut down, of which no host tells.
      unsaved = true;
      channel.disconnected(true);
    }
  }

  /** Listen to an event of the model until the view goes. */
  function listen(event: string, fn: () => void): void {
    const run = (): void => guard(fn);
    model.on(event, run);
    atEnd(signal, () => model.off(event, run));
  }

  function guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      console.error(error);
      failed(error);
    }
  }

  /** Tie the frame to the channel and to the traits that every widget has. */
  function follow(): void {
    channel.on("*", footer.reply);
    channel.onProgress(footer.progress);
    channel.onStatus(follows);
    listen("change:theme", theme.refresh);
    // anywidget's model does not tell what its comm is now, only that it changed.
    listen("comm_live_update", () => channel.doubt());
    const about = () => header.about(model.get("_about"));
    about();
    listen("change:_about", about);
    atEnd(signal, () => {
      clearTimeout(busyTimer);
      cancelAnimationFrame(frame);
      root.remove();
    });
  }

  function follows({ busy, offline }: State): void {
    clearTimeout(busyTimer);
    if (busy) busyTimer = setTimeout(showState, BUSY_MS);
    else showState();
    if (!offline && unsaved) save();
  }

  function showState(): void {
    const { busy, stoppable, waits, offline } = channel.state;
    const idle = footer.hasError() ? "error" : "idle";
    root.dataset.state = offline ? "offline" : busy ? "busy" : idle;
    footer.busy(busy, stoppable, waits);
    banner.hidden = offline === null;
    banner.textContent =
      offline === "silent"
        ? "Kernel gone or busy: showing the last state. It goes on as soon as the kernel answers."
        : "Kernel gone: showing the last state. Run the cell again to go on.";
    for (const el of root.querySelectorAll<HTMLElement>("[data-needs-kernel]")) lock(el);
  }

  /** Disable what needs the kernel, or give back what was disabled for that reason. */
  function lock(el: HTMLElement): void {
    const offline = channel.state.offline !== null;
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
  function connected(): void {
    const mark = nearest(root, ".jupyter-widgets-disconnected");
    const now = mark !== null || model.comm_live === false;
    if (now === gone) return;
    gone = now;
    channel.disconnected(now);
  }

  function watchSize(): void {
    const look = (): void => {
      const width = body.clientWidth;
      if (width === 0) {
        bodyWidth = 0;
        return;
      }
      if (bodyWidth === 0) {
        theme.refresh();
        connected();
      }
      if (width !== bodyWidth) {
        bodyWidth = width;
        for (const fn of sizeFns) guard(() => fn(width));
      }
      redraw();
    };
    onSize(body, look, signal);
    // Scrolled back into sight: what the host dropped meanwhile is drawn again.
    const sight = new IntersectionObserver(look);
    sight.observe(root);
    on(window, "resize", look, signal); // also when the browser's zoom changes
    atEnd(signal, () => sight.disconnect());
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
  const shell = createShell(name, model, el, abort.signal);
  try {
    build(shell);
  } catch (error) {
    console.error(error);
    shell.body.replaceChildren();
    shell.failed(error);
  }
  return end;
}
