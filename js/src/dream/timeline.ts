// The run along its steps: play and pause, the film, the loss under it, and a place in them.

import { button } from "../lib/controls.ts";
import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { box, clamp } from "../lib/small.ts";
import { nearestFrame } from "./film.ts";
import type { Session } from "./session.ts";
import { createSparkline } from "./sparkline.ts";
import { createStrip } from "./strip.ts";
import { sayFrame } from "./words.ts";

export function createTimeline(session: Session): HTMLElement {
  return h(
    "section",
    { class: "dr-time", "aria-label": "run" },
    createControls(session),
    createFilm(session),
    createNotes(session),
  );
}

function createControls(session: Session): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  const mark = h("i", { class: "dr-icon", "aria-hidden": "true" });
  const name = h("span");
  const play = button(
    { label: "Play", glyph: name, primary: true, title: "Space, on the picture", onClick: press },
    signal,
  );
  play.prepend(mark);
  play.classList.add("dr-play");
  const step = button({ label: "Step", title: "One step", onClick: () => session.step() }, signal);
  const again = button(
    { label: "Restart", title: "From the beginning", onClick: session.restart },
    signal,
  );
  const live = button(
    { label: "live", title: "Follow the newest picture", onClick: () => session.look(null) },
    signal,
  );
  const where = h("span", { class: "dr-where", "data-role": "where" });
  const losses = h("dl", { class: "dr-numbers", "data-role": "numbers" });
  session.on(["run", "cursor", "lock"], show);
  return box("dr-controls", play, step, again, live, where, losses);

  function press(): void {
    if (session.state === "running") session.pause();
    else session.play();
  }

  function show(): void {
    const { state, locked, run, cursor } = session;
    const running = state === "running";
    text(name, running ? "Pause" : "Play");
    setProps(play, { "aria-label": name.textContent, "data-now": running ? "pause" : "play" });
    play.disabled = locked;
    step.disabled = locked || running;
    again.disabled = locked || (state === "fresh" && run.step === 0);
    live.disabled = session.frames.length === 0;
    setProps(live, { "aria-pressed": String(cursor === null) });
    text(where, run.step || running ? sayFrame(session) : "not begun");
    showLosses();
  }

  function showLosses(): void {
    const found = Object.entries(session.run.losses);
    if (losses.childElementCount !== found.length) {
      fill(losses, ...found.map(([loss]) => h("div", null, h("dt", null, loss), h("dd"))));
    }
    found.forEach(([loss, value], i) => {
      const [dt, dd] = losses.children[i]?.children ?? [];
      if (dt) text(dt, loss);
      if (dd) text(dd, three(value));
    });
  }
}

/** Film and loss on one axis; a native slider behind them for the keyboard. */
function createFilm(session: Session): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  const range = h("input", {
    type: "range",
    class: "dr-range",
    name: "frame",
    "aria-label": "frame",
    min: 0,
    max: 0,
    step: 1,
  });
  const head = h("div", { class: "dr-head", "aria-hidden": "true" });
  const hint = h("p", { class: "dr-hint nbc-muted" }, "The film of the run grows here.");
  const track = box("dr-track", createStrip(session), createSparkline(session), head, range, hint);
  let held = false;
  on(range, "input", () => session.look(session.frames[range.valueAsNumber] ?? null), signal);
  on(track, "pointerdown", down, signal);
  on(track, "pointermove", move, signal);
  on(track, "pointerup", end, signal);
  on(track, "pointercancel", end, signal);
  on(track, "pointerleave", () => shell.status(""), signal);
  session.on(["film", "cursor", "run"], show);
  return h("div", { class: "dr-film", "data-role": "film" }, track);

  function show(): void {
    const { frames, run, frame, place } = session;
    range.disabled = frames.length < 2;
    setProps(range, {
      max: Math.max(0, frames.length - 1),
      "aria-valuetext": frame ? sayFrame(session) : "no film yet",
    });
    range.value = String(Math.max(0, place));
    head.hidden = !frame;
    hint.hidden = frame !== null;
    head.style.left = `${(100 * (frame?.step ?? 0)) / Math.max(1, run.steps)}%`;
  }

  /** The step at a place along the film. */
  function stepAt(event: PointerEvent): number {
    const around = track.getBoundingClientRect();
    return clamp((event.clientX - around.left) / around.width, 0, 1) * session.run.steps;
  }

  function down(event: PointerEvent): void {
    if (event.button !== 0 || !session.frames.length) return;
    held = true;
    track.setPointerCapture(event.pointerId);
    range.focus();
    event.preventDefault();
    move(event);
  }

  function move(event: PointerEvent): void {
    const { frames, trace, kind } = session;
    const step = stepAt(event);
    if (held) session.look(frames[nearestFrame(frames, step)] ?? null);
    const point = trace.findLast(([each]) => each <= step) ?? trace[0];
    const beyond = step > session.run.step;
    shell.status(point && !beyond ? `step ${point[0]}: ${kind.measure} ${three(point[1])}` : "");
  }

  function end(): void {
    held = false;
  }
}

/** What was chosen or left out, and why a run ended before its time. */
function createNotes(session: Session): HTMLElement {
  const stopped = h("p", { class: "nbc-bad", "data-role": "stopped" });
  const notes = h("p", { class: "nbc-muted", "data-role": "notes" });
  session.on(["run"], () => {
    const { run, state } = session;
    text(stopped, state === "running" ? "" : run.stopped);
    text(notes, run.notes.join(" "));
    stopped.hidden = !stopped.textContent;
    const { height, width } = run;
    session.shell.status(undefined, height ? `${width} x ${height} px` : "");
  });
  return box("dr-notes", stopped, notes);
}
