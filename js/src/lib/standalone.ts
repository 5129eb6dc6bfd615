// A page without a kernel: a model that keeps traits and answers from a table.
//
// Built as an IIFE, ../nbcnnviz/static/standalone.js, for an inline classic <script>. It defines
// the global `nbcnnviz` = {StubModel, start, renderAll} and, once the page is parsed,
// starts every widget for which the page holds these elements:
//
//   <style>                    the widget's CSS                                             </style>
//   <div data-nbcnnviz="ID">   where the widget goes, empty or with a still picture to replace  </div>
//   <script type="application/json" data-nbcnnviz-state="ID">   {"module": "feature_maps",
//       "traits": {...}, "blobs": {trait name: base64},
//       "replies": [{"lane", "args", "blob": base64}]}                                      </script>
//   <script type="text/plain" data-nbcnnviz-module="feature_maps">  the ESM bundle, base64  </script>
//   <script>                   this file                                                 </script>
//
// In JSON, "<" is written \u003c. A reply is the blob of a reply with status "ok"; it answers every
// question of its lane that has all of its args, whatever else was asked: a layer's maps in any
// order serve a page that sorts them itself. Several widgets may share a module. The module is
// imported from a blob: URL, so the page's policy needs
//   default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:

import type { Args, Model } from "./messages.ts";

type Message = Record<string, unknown>;
/** How an answer goes back: a message and at most one blob. */
export type Answer = (content: Message, blob?: Uint8Array) => void;
/** A scripted kernel, for tests: gets each message with its blob, if any, and may answer it, now,
 * later or never. */
export type Respond = (message: Message, answer: Answer, blob?: Uint8Array) => void;
type Listener = (...args: unknown[]) => void;

export interface Page {
  module?: string;
  traits?: Record<string, unknown>;
  /** Traits that are bytes, as base64. */
  blobs?: Record<string, string>;
  replies?: Ready[];
}

/** A ready-made answer to the questions of a lane that have these arguments among theirs. */
export interface Ready {
  lane: string;
  args: Args;
  /** base64 */
  blob: string;
}

function decode(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** What a widget needs of a model, without a kernel. */
export class StubModel {
  /** Tells the view that this is a saved page; false with a scripted kernel. */
  readonly saved: boolean;
  /** Every message that was sent, for tests. */
  readonly sent: Message[] = [];
  readonly #state: Record<string, unknown>;
  readonly #listeners = new Map<string, Listener[]>();

  readonly #page: Page;
  readonly #respond: Respond | undefined;

  constructor(page: Page, respond?: Respond) {
    this.#page = page;
    this.#respond = respond;
    this.saved = respond === undefined;
    this.#state = { theme: "auto", _epoch: "saved", _about: {}, ...page.traits };
    for (const [name, base64] of Object.entries(page.blobs ?? {})) {
      this.#state[name] = view(decode(base64));
    }
  }

  get(name: string): unknown {
    return this.#state[name];
  }

  set(name: string, value: unknown): void {
    if (this.#state[name] === value) return;
    this.#state[name] = value;
    this.#emit(`change:${name}`);
    this.#emit("change");
  }

  save_changes(): void {
    // Nobody to tell.
  }

  on(event: string, fn: Listener): void {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), fn]);
  }

  off(event?: string | null, fn?: Listener | null): void {
    for (const [name, fns] of this.#listeners) {
      if (event && name !== event) continue;
      this.#listeners.set(name, fn ? fns.filter((other) => other !== fn) : []);
    }
  }

  send(content: Message, _callbacks?: unknown, buffers?: Uint8Array[]): void {
    this.sent.push(structuredClone(content));
    const answer: Answer = (message, blob) => this.receive(message, blob);
    // Never at once: a kernel does not answer before send() has returned either.
    setTimeout(() => {
      if (this.#respond) this.#respond(content, answer, buffers?.[0]);
      else this.#answer(content, answer);
    });
  }

  /** Hand a message to the view, as if the kernel had sent it. */
  receive(content: Message, blob?: Uint8Array): void {
    this.#emit("msg:custom", content, blob ? [view(blob)] : []);
  }

  #answer(message: Message, answer: Answer): void {
    const { type, view: id, lane, seq, args } = message;
    const epoch = this.#state._epoch;
    if (type === "hello") answer({ type: "hello", view: id, epoch });
    if (type !== "ask") return;
    const asked = (args ?? {}) as Args;
    const found = this.#page.replies?.find(
      (ready) =>
        ready.lane === lane &&
        Object.entries(ready.args).every(
          ([name, value]) => JSON.stringify(value) === JSON.stringify(asked[name]),
        ),
    )?.blob;
    const reply = { type: "reply", view: id, epoch, seq, lane, ms: 0 };
    if (found) answer({ ...reply, status: "ok", message: "" }, decode(found));
    else {
      const why = "This was not saved in this file: open the notebook to compute it.";
      answer({ ...reply, status: "unsaved", message: why });
    }
  }

  #emit(event: string, ...args: unknown[]): void {
    for (const fn of this.#listeners.get(event) ?? []) fn(...args);
  }
}

interface Widget {
  default: { render(context: unknown): unknown };
}

/** Draw one page in `el` with a widget's module. The returned function ends it. */
export async function start(
  el: HTMLElement,
  page: Page,
  module: Widget,
  respond?: Respond,
): Promise<{ model: StubModel; end: () => void }> {
  const model = new StubModel(page, respond);
  const abort = new AbortController();
  el.replaceChildren();
  await module.default.render({ model: model as unknown as Model, el, signal: abort.signal });
  return { model, end: () => abort.abort() };
}

/** Start every widget the document holds. */
export async function renderAll(): Promise<void> {
  const modules = new Map<string, Promise<Widget>>();
  for (const script of document.querySelectorAll<HTMLElement>("script[data-nbcnnviz-module]")) {
    const code = decode((script.textContent ?? "").trim()) as Uint8Array<ArrayBuffer>;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    modules.set(script.dataset.nbcnnvizModule ?? "", import(url));
  }
  for (const el of document.querySelectorAll<HTMLElement>("[data-nbcnnviz]")) {
    const id = CSS.escape(el.dataset.nbcnnviz ?? "");
    const state = document.querySelector(`script[data-nbcnnviz-state="${id}"]`);
    try {
      const page = JSON.parse(state?.textContent ?? "") as Page;
      const module = await modules.get(page.module ?? "");
      if (!module) throw new Error(`The page holds no module "${page.module}".`);
      await start(el, page, module);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      el.append(`This saved page could not be shown: ${message}`);
    }
  }
}

if (typeof document !== "undefined") {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", renderAll);
  else void renderAll();
}
