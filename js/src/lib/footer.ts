// The lines below a widget: errors, and the status line with progress, Stop and time.

import { button } from "./controls.ts";
import { h, text } from "./dom.ts";
import { duration } from "./format.ts";
import type { Progress, Reply } from "./messages.ts";

export class Footer {
  readonly el: HTMLElement;
  onError: () => void = () => {};
  readonly #message = h("span");
  readonly #alert: HTMLElement;
  // What the pointer is on changes many times a second: read out on focus, not here.
  readonly #left = h("span", { class: "nbc-left", "aria-live": "off" });
  readonly #right = h("span", { class: "nbc-right" });
  readonly #time = h("span", { class: "nbc-time" });
  readonly #work = h("span", { class: "nbc-work" });
  readonly #fill = h("div", { class: "nbc-fill" });
  readonly #bar = h("div", { class: "nbc-bar", role: "progressbar", "aria-label": "work" });
  readonly #stop: HTMLButtonElement;
  /** The lane whose error is shown; its next good answer takes the error away. */
  #lane: string | null = null;

  readonly #saved: boolean;

  constructor(saved: boolean, stop: () => void, signal: AbortSignal) {
    this.#saved = saved;
    const x = button({ label: "Dismiss", glyph: "×", onClick: () => this.error(null) }, signal);
    x.classList.add("nbc-ghost");
    this.#alert = h("div", { class: "nbc-error", role: "alert", hidden: true }, this.#message, x);
    this.#stop = button({ label: "Stop", onClick: stop }, signal);
    this.#bar.append(this.#fill);
    if (saved) text(this.#time, "saved page");
    const said = h(
      "div",
      { class: "nbc-said", role: "status", "aria-live": "polite" },
      this.#left,
      this.#right,
    );
    const line = h(
      "footer",
      { class: "nbc-status" },
      this.#bar,
      said,
      this.#work,
      this.#stop,
      this.#time,
    );
    this.el = h("div", { class: "nbc-foot" }, this.#alert, line);
    this.busy(false, false);
  }

  say(left?: string, right?: string): void {
    if (left !== undefined) text(this.#left, left);
    if (right !== undefined) text(this.#right, right);
  }

  get hasError(): boolean {
    return this.#alert.hidden !== true;
  }

  error(message: string | null, lane: string | null = null): void {
    this.#lane = lane;
    text(this.#message, message ?? "");
    this.#alert.hidden = message === null;
    this.onError();
  }

  /** Take note of any reply: its error, or its time. */
  reply({ lane, status, message, ms }: Reply): void {
    if (status === "error") {
      this.error(message || "The kernel could not do this and gave no reason.", lane);
    } else if (status === "ok") {
      if (this.#lane === lane) this.error(null);
      if (!this.#saved && lane !== "code" && ms > 0) text(this.#time, duration(ms));
    } else if (status === "cancelled") text(this.#time, "stopped");
  }

  progress({ done, total, left }: Progress): void {
    this.#fill.style.width = `${Math.min(100, (100 * done) / total)}%`;
    this.#bar.removeAttribute("data-unknown");
    this.#bar.setAttribute("aria-valuenow", String(done));
    this.#bar.setAttribute("aria-valuemax", String(total));
    text(
      this.#work,
      `${done} of ${total}${left === null ? "" : ` · ${duration(left * 1000)} left`}`,
    );
  }

  /** `own`: the work is this view's, so Stop can end it. */
  busy(busy: boolean, own: boolean): void {
    const was = this.#bar.hidden !== true;
    this.#bar.hidden = !busy;
    this.#stop.hidden = !(busy && own);
    if (busy === was) return;
    text(this.#work, "");
    this.#fill.style.width = "";
    this.#bar.setAttribute("data-unknown", "");
    this.#bar.removeAttribute("aria-valuenow");
  }
}
