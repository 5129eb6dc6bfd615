// The picture, as it becomes; over it, as far as the wipe is drawn, what it began as.

import { slider } from "../lib/controls.ts";
import { h, on, setProps, text } from "../lib/dom.ts";
import { box, clamp, span, take } from "../lib/small.ts";
import { surface } from "../lib/tiles.ts";
import { createSlot } from "./jpeg.ts";
import type { Session } from "./session.ts";
import { sayFrame } from "./words.ts";

/** Pixels that a press may move and still be a click. */
const STILL = 4;

export interface StageProps {
  /** Show a beginning to wipe to. */
  before: boolean;
}

export function createStage(session: Session, { before }: StageProps): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  const canvas = h("canvas", {
    class: "dr-canvas",
    "data-role": "stage",
    role: "application",
    "aria-roledescription": "picture",
    "aria-description": "Space plays or pauses. Arrows go through the film, Escape to its end.",
    tabindex: 0,
  });
  const line = h("div", { class: "dr-line", "aria-hidden": "true" });
  const labels = ["after", "before"].map((name) =>
    h("span", { class: "dr-label", "data-side": name, "aria-hidden": "true" }, name),
  );
  const words = h("p", { class: "dr-empty" });
  const frame = box("dr-frame", canvas, line, ...labels, words);
  const wipe = slider(
    {
      label: "before / after",
      quiet: true,
      min: 0,
      max: 100,
      value: 100,
      bare: true,
      format: (value) => `${value} % after`,
      onInput: session.setWipe,
    },
    signal,
  );
  const row = box("dr-wipe", span("nbc-muted", "before"), wipe.el, span("nbc-muted", "after"));
  const shown = createSlot({ onShow: fit }, signal);
  const first = createSlot({ onShow: fit }, signal);
  const given: Array<Uint8Array | null> = [];
  row.hidden = !before;
  session.on(["film", "cursor", "start"], show);
  session.on(["run"], mark);
  session.on(["wipe"], () => {
    mark();
    shell.redraw();
  });
  shell.onDraw(paint);
  on(canvas, "keydown", key, signal);
  if (before) drag();
  return h("section", { class: "dr-stage", "aria-label": "picture" }, frame, row);

  function show(): void {
    const wanted = [session.frame?.jpeg ?? null, session.start?.jpeg ?? null];
    wanted.forEach((jpeg, i) => {
      if (jpeg && jpeg !== given[i]) (i === 0 ? shown : first).put(jpeg);
      given[i] = jpeg;
    });
    mark();
    shell.redraw();
  }

  /** Sizes differ by a pixel from octave to octave; the room stays that of the beginning. */
  function fit(bitmap: ImageBitmap): void {
    const { width, height } = (before && session.start) || bitmap;
    const aspect = Math.round((1000 * width) / height) / 1000;
    shell.body.style.setProperty("--dr-aspect", String(aspect));
    mark();
    shell.redraw();
  }

  /** Share of the picture that shows what has become of it. */
  function share(): number {
    if (!session.frame) return 0;
    return before && first.bitmap ? session.wipe / 100 : 1;
  }

  function mark(): void {
    const { frame: looked, run, state } = session;
    const now = share();
    const parted = now < 1 && Boolean(looked);
    line.hidden = !before || !looked;
    line.style.left = `${100 * now}%`;
    frame.toggleAttribute("data-parted", parted);
    labels[0]?.toggleAttribute("hidden", !parted || now < 0.12);
    labels[1]?.toggleAttribute("hidden", !parted || now > 0.88);
    wipe.value = looked ? session.wipe : 0;
    (wipe.input as HTMLInputElement).disabled = !looked;
    const said = looked ? sayFrame(session) : "nothing done yet";
    // As the kernel says: what is set now may be for the next step.
    const title = run.title || session.start?.name || "picture";
    setProps(canvas, { "aria-label": `${title}: ${said}` });
    const bare = !looked && !(before && session.start?.jpeg);
    text(
      words,
      bare
        ? state === "running"
          ? "the first picture is on its way"
          : run.stopped || "Press Play."
        : "",
    );
    words.hidden = !bare;
  }

  function paint(): void {
    const context = surface(canvas, canvas.clientWidth, canvas.clientHeight, true);
    if (!context) return;
    const { width, height } = canvas;
    const edge = Math.round(width * share());
    for (const [bitmap, from, to] of [
      [before ? first.bitmap : null, edge, width],
      [shown.bitmap, 0, edge],
    ] as const) {
      if (!bitmap || to <= from) continue;
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, height);
      context.clip();
      // The few pixels of a digit are not smoothed.
      context.imageSmoothingEnabled = bitmap.width >= 64;
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, width, height);
      context.restore();
    }
  }

  function key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { length } = session.frames;
    const by: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -5,
      PageDown: 5,
      Home: -length,
      End: length,
      Escape: length,
    };
    const frames = by[event.key];
    if (event.key === " ") {
      take(event);
      if (!event.repeat) session.toggle();
    } else if (frames && length) {
      take(event);
      session.lookBy(frames);
    }
  }

  /** Any drag across the picture draws the wipe; up and down scrolls the page as ever. */
  function drag(): void {
    let from: number | null = null;
    let moved = false;
    const end = (): void => {
      from = null;
      frame.removeAttribute("data-drag");
    };
    const down = (event: PointerEvent): void => {
      if (event.button !== 0 || !session.frame) return;
      from = event.clientX;
      moved = false;
      canvas.setPointerCapture(event.pointerId);
    };
    const move = (event: PointerEvent): void => {
      if (from === null) return;
      moved ||= Math.abs(event.clientX - from) > STILL;
      if (!moved) return;
      frame.setAttribute("data-drag", "");
      const around = canvas.getBoundingClientRect();
      const at = (event.clientX - around.left) / around.width;
      session.setWipe(Math.round(100 * clamp(at, 0, 1)));
    };
    on(canvas, "pointerdown", down, signal);
    on(canvas, "pointermove", move, signal);
    on(canvas, "pointerup", end, signal);
    on(canvas, "pointercancel", end, signal);
    on(canvas, "dblclick", () => session.setWipe(100), signal);
  }
}
