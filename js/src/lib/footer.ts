// The lines below a widget: errors, and the status line with progress, Stop and time.

import { button } from "./controls.ts";
import { h, setProps, text } from "./dom.ts";
import { duration } from "./format.ts";
import type { Progress, Reply } from "./messages.ts";
import { box, span } from "./small.ts";

export interface FooterProps {
  /** A saved page: what its answers cost once is of no interest. */
  saved: boolean;
  stop(): void;
  /** An error came or went. */
  onError(): void;
}

export function createFooter({ saved, stop, onError }: FooterProps, signal: AbortSignal) {
  const message = h("span");
  const shut = () => error(null);
  const dismiss = button({ label: "Dismiss", glyph: "×", ghost: true, onClick: shut }, signal);
  const alert = h("div", { class: "nbc-error", role: "alert", hidden: true }, message, dismiss);
  // What the pointer is on changes many times a second: read out on focus, not here.
  const left = h("span", { class: "nbc-left", "aria-live": "off" });
  const right = span("nbc-right");
  const time = span("nbc-time", saved ? "saved page" : "");
  const work = span("nbc-work");
  const wait = h("span", { class: "nbc-waits", "data-role": "waits", "aria-live": "polite" });
  const full = box("nbc-fill");
  const bar = h("div", { class: "nbc-bar", role: "progressbar", "aria-label": "work" }, full);
  const halt = button({ label: "Stop", onClick: stop }, signal);
  const said = h("div", { class: "nbc-said", role: "status", "aria-live": "polite" }, left, right);
  const line = h("footer", { class: "nbc-status" }, bar, said, wait, work, halt, time);
  const element = box("nbc-foot", alert, line);
  /** The lane whose error is shown; its next good answer takes the error away. */
  let lane: string | null = null;
  busy(false, false, "");
  return { element, say, error, hasError: () => !alert.hidden, reply, progress, busy };

  function say(onLeft?: string, onRight?: string): void {
    if (onLeft !== undefined) text(left, onLeft);
    if (onRight !== undefined) text(right, onRight);
  }

  function error(words: string | null, ofLane: string | null = null): void {
    lane = ofLane;
    text(message, words ?? "");
    alert.hidden = words === null;
    onError();
  }

  /** Take note of any reply: its error, or its time. */
  function reply({ lane: of, status, message, ms }: Reply): void {
    if (status === "error") {
      error(message || "The kernel could not do this and gave no reason.", of);
    } else if (status === "ok") {
      if (lane === of) error(null);
      if (!saved && of !== "code" && ms > 0) text(time, duration(ms));
    } else if (status === "cancelled") text(time, "stopped");
    else if (status === "unsaved") say(message);
  }

  function progress({ done, total, left }: Progress): void {
    full.style.width = `${Math.min(100, (100 * done) / total)}%`;
    setProps(bar, { "data-unknown": null, "aria-valuenow": done, "aria-valuemax": total });
    text(work, `${done} of ${total}${left === null ? "" : ` · ${duration(left * 1000)} left`}`);
  }

  /** `stoppable`: Stop can end it; `waits`: what has to end before it begins. */
  function busy(busy: boolean, stoppable: boolean, waits: string): void {
    text(wait, waits && `waits for ${waits}`);
    bar.hidden = !busy;
    halt.hidden = !(busy && stoppable);
    // Also when it never showed: quick work may have told of its progress.
    if (busy) return;
    text(work, "");
    full.style.width = "";
    setProps(bar, { "data-unknown": true, "aria-valuenow": null });
  }
}
