// The sweep: what to do, the map, what its colours mean.

import { createColourBar } from "../lib/colour_bar.ts";
import { button, checkbox, type SelectControl, select, slider } from "../lib/controls.ts";
import { fill, h, text } from "../lib/dom.ts";
import { percent, plural } from "../lib/format.ts";
import { box, span } from "../lib/small.ts";
import type { Announcer } from "./announce.ts";
import { COLOURED, classColour } from "./palette.ts";
import type { Session } from "./session.ts";
import type { Stage } from "./stage.ts";
import { pair, positions, type Region, regions, type ScoreKind, type Show } from "./sweep.ts";
import { createSweepMap } from "./sweep_map.ts";
import { lookOf } from "./sweep_paint.ts";
import { sayFlips, saySweep } from "./sweep_words.ts";
import { createTarget } from "./target.ts";

const SIDES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

export function createSweepPanel(session: Session, stage: Stage, say: Announcer): HTMLElement {
  return h(
    "section",
    { class: "oc-sweep", "aria-label": "sweep" },
    h("h4", { class: "nbc-title" }, "sweep"),
    createControls(session),
    box(
      "oc-map",
      createSweepMap(session, stage, say).canvas,
      box("oc-side", createView(session), createMeaning(session)),
    ),
    createCaption(session),
  );
}

/** Window, stride, target, score; Run, which is Stop while it runs. */
function createControls(session: Session): HTMLElement {
  const { shell, window, stride, score } = session;
  const { signal, channel } = shell;
  const side = (label: string, title: string, onChange: (value: string) => void) =>
    select<string>({ label, title, options: [], value: "", onChange }, signal);
  const toPair = (value: string) => pair(value.split(" x ").map(Number).concat(Number(value)));
  const windows = side("window", "Pixels that are hidden at a time", (value) =>
    session.setWindow(toPair(value)),
  );
  const strides = side("stride", "Pixels from one place to the next", (value) =>
    stride.set(Number(value)),
  );
  const kinds = select<ScoreKind>(
    {
      label: "score",
      title: "Logits, or probabilities: they give different maps",
      options: ["logit", "probability"],
      value: score.get(),
      onChange: session.setScore,
    },
    signal,
  );
  const places = span("nbc-muted");
  const run = button({ label: "Run", primary: true, onClick: session.run }, signal);
  const stop = button({ label: "Stop", onClick: () => channel.stop() }, signal);
  const buttons = shell.needsKernel(box("oc-run", run, stop));
  if (channel.saved) run.disabled = true;
  channel.onStatus(({ stoppable }) => {
    run.hidden = stoppable;
    stop.hidden = !stoppable;
    if (!stoppable) session.emit("sweep");
  });
  session.on(["sweep"], () => {
    const [w, s] = [pair(window.get()), pair(stride.get())];
    offer(windows, w, Math.min(...session.size));
    offer(strides, s, Math.min(...w));
    kinds.value = score.get();
    const count = [0, 1].map((i) => positions(session.size[i] ?? 1, w[i] ?? 1, s[i] ?? 1));
    text(places, plural((count[0] ?? 1) * (count[1] ?? 1), "place"));
  });
  const lock = shell.needsKernel(box("oc-aim", createTarget(session), kinds.el));
  return box("nbc-row", windows.el, strides.el, places, lock, span("nbc-spacer"), buttons);
}

/** Offer the usual sides up to a largest, and the present one. */
function offer(
  control: SelectControl<string>,
  [a, b]: readonly [number, number],
  most: number,
): void {
  const now = a === b ? `${a}` : `${a} x ${b}`;
  const usual = SIDES.filter((side) => side <= most).map(String);
  const all = usual.includes(now) ? usual : [...usual, now];
  all.sort((x, y) => Number.parseInt(x, 10) - Number.parseInt(y, 10));
  // A list that somebody has just opened would close.
  if (control.el.dataset.all !== all.join()) {
    control.setOptions(all);
    control.el.dataset.all = all.join();
  }
  if (control.value !== now) control.value = now;
}

/** How the map is shown. None of these asks the kernel. */
function createView(session: Session): HTMLElement {
  const { signal } = session.shell;
  const shows = select<Show>(
    {
      label: "show",
      options: [
        ["drop", "drop by pixel"],
        ["score", "score by place (Zeiler & Fergus)"],
        ["class", "predicted class"],
      ],
      value: session.show.get(),
      onChange: (value) => session.show.set(value),
    },
    signal,
  );
  const change = (what: Partial<Session>): void => {
    Object.assign(session, what);
    session.emit("sweep");
  };
  const opacity = slider(
    {
      label: "opacity",
      title: "Of the map over the picture",
      min: 0,
      max: 100,
      value: 100 * session.opacity,
      unit: " %",
      onInput: (value) => change({ opacity: value / 100 }),
    },
    signal,
  );
  const threshold = slider(
    {
      label: "threshold",
      title: "Show only where the drop is among the largest",
      min: 1,
      max: 100,
      value: 100,
      format: (value) => (value === 100 ? "all" : `top ${value} %`),
      onInput: (value) => change({ share: value / 100 }),
    },
    signal,
  );
  const over = checkbox(
    { label: "over the picture", value: false, onChange: (onStage) => change({ onStage }) },
    signal,
  );
  session.on(["sweep"], () => {
    shows.value = session.show.get();
  });
  return box("oc-view", shows.el, opacity.el, threshold.el, over.el);
}

/** The colours and what they stand for. */
function createMeaning(session: Session): HTMLElement {
  const bar = createColourBar();
  const title = span("nbc-muted");
  const legend = h("ul", { class: "oc-legend", "data-role": "legend", "aria-label": "classes" });
  session.on(["sweep"], () => {
    const { sweep } = session;
    const show = session.show.get();
    bar.element.hidden = !sweep || show === "class";
    legend.hidden = !sweep || show !== "class";
    if (!sweep) return;
    const { name } = sweep.target;
    if (show === "class") {
      text(title, sayFlips(sweep));
      fill(legend, ...entries(regions(sweep, session.order)));
      return;
    }
    const red = `drop of ${name}: red lowers the score when hidden`;
    text(title, show === "drop" ? red : `${sweep.score} of ${name} with the square there`);
    const { colours, range } = lookOf(sweep, show);
    bar.show(colours, range);
  });
  return box("oc-meaning", title, bar.element, legend);
}

function entries(all: readonly Region[]): HTMLElement[] {
  const seen = all.filter(({ share }) => share > 0);
  const rows = all
    .slice(0, COLOURED)
    .flatMap((region, place) => (region.share > 0 ? [entryOf(region, classColour(place))] : []));
  // As faint as its region on the map.
  if (rows[0] && all[0]?.share) rows[0].toggleAttribute("data-faint", true);
  const rest = seen.filter((region) => all.indexOf(region) >= COLOURED);
  const share = rest.reduce((sum, region) => sum + region.share, 0);
  const other = { index: -1, label: plural(rest.length, "other class", "other classes"), share };
  return rest.length > 0 ? [...rows, entryOf(other, classColour(COLOURED))] : rows;
}

function entryOf({ label, share }: Region, colour: string): HTMLElement {
  const swatch = h("i");
  swatch.style.background = colour;
  return h(
    "li",
    { title: label },
    swatch,
    span("nbc-clip", label),
    span("nbc-muted", percent(share)),
  );
}

/** What the map was made with; before the first, what it will be. */
function createCaption(session: Session): HTMLElement {
  const { channel } = session.shell;
  const element = box("oc-caption nbc-muted");
  session.on(["sweep"], () => {
    const { sweep } = session;
    const running = channel.state.stoppable;
    element.toggleAttribute("data-incomplete", !!sweep && !sweep.complete && !running);
    const first = "Run hides one square after another and maps what becomes of the score.";
    text(element, sweep ? saySweep(sweep, running && !sweep.complete) : first);
    element.title = sweep?.note ?? "";
  });
  return element;
}
