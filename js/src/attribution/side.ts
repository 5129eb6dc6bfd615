// The picture itself, what the network takes it for, and the unit that can be explained instead.

import { decode, table } from "../lib/colormap.ts";
import { checkbox, select } from "../lib/controls.ts";
import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { createPicture } from "../lib/picture.ts";
import { createScores, type Score } from "../lib/scores.ts";
import { box, clamp, span } from "../lib/small.ts";
import { mapCanvas } from "../lib/tiles.ts";
import { moved } from "./keys.ts";
import { createPhoto, DOTS } from "./marks.ts";
import { mapOf, numbers, type Unit } from "./results.ts";
import type { Session } from "./session.ts";

export function createSide(session: Session): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  const canvas = h("canvas", { class: "at-canvas", "data-role": "picture", role: "img" });
  const { element: photo, picture } = createPhoto(session, canvas);
  canvas.title = "Click: explain the chosen channel at this place";
  session.on(["picture"], () => {
    const [height, width] = session.size;
    picture.show(session.picture, width, height);
    setProps(canvas, { "aria-label": `${session.name}: what the network sees` });
  });
  on(canvas, "click", (event) => session.place(picture.place(event)), signal);
  return box("at-side", photo, box("at-lists", createBest(session), createUnit(session)));
}

/** The best classes; a click explains another one. */
function createBest(session: Session): HTMLElement {
  const { shell } = session;
  const { signal } = shell;
  const title = h("h4", { class: "nbc-title" }, "prediction");
  const bars = createScores("prediction", (item) => {
    const press = h("button", { type: "button", class: "at-row" });
    const index = Number(item.dataset.class);
    on(press, "click", () => session.setTarget(index, null), signal);
    item.append(press);
    return ({ label, detail }: Score) =>
      setProps(press, { "aria-label": `explain ${label}`, title: detail });
  });
  const rows = shell.needsKernel(box("at-bars", bars.element));
  session.on(["results", "question", "picture"], () => {
    const { best } = session;
    bars.update(
      best.map(({ index, label, probability, logit }) => ({
        index,
        label,
        value: probability,
        detail: `${label} · class ${index} · logit ${three(logit)}`,
      })),
    );
    const { target } = session.results ?? {};
    for (const item of bars.element.children as HTMLCollectionOf<HTMLElement>) {
      const on = Number(item.dataset.class) === target?.index && !session.unit.get();
      item.querySelector("button")?.setAttribute("aria-pressed", String(on));
    }
  });
  return box("", title, rows);
}

type What = "class" | "total" | "max" | "place";

/** A channel of the layer, its map to click on, and what of it is explained. */
function createUnit(session: Session): HTMLElement {
  const { shell, unit } = session;
  const { signal } = shell;
  const number = h("input", { type: "number", min: 0 });
  const label = h("label", { class: "nbc-control" }, span("nbc-label", "channel"), number);
  const whats = select<What>(
    {
      label: "unit",
      options: [
        ["class", "none: a class"],
        ["total", "total of its map"],
        ["max", "its maximum"],
        ["place", "one position"],
      ],
      value: "class",
      onChange: explain,
    },
    signal,
  );
  const canvas = h("canvas", {
    class: "at-canvas",
    "data-role": "map",
    role: "application",
    tabindex: 0,
  });
  const picture = createPicture(canvas, signal, true);
  const words = h("p", { class: "at-notes nbc-muted" });
  const dots = checkbox(
    {
      label: "max-pool switches",
      title: "The maxima that the score goes through",
      value: false,
      onChange: session.toggleSwitches,
    },
    signal,
  );
  const legend = h("p", { class: "at-notes nbc-muted", "data-role": "switches", hidden: true });
  const map = box("at-map", canvas, words);
  map.hidden = true;
  on(number, "change", () => channel(number.valueAsNumber), signal);
  on(canvas, "click", (event) => session.place(picture.place(event)), signal);
  on(canvas, "keydown", key, signal);
  session.on(["question"], show);
  session.on(["map"], showMap);
  session.on(["switches"], showSwitches);
  const controls = shell.needsKernel(box("at-unit", label, whats.el, dots.el));
  const title = h("h4", { class: "nbc-title" }, "a unit of the layer");
  return box("", title, controls, map, legend);

  function channel(wanted: number): void {
    const next = clamp(Math.round(wanted) || 0, 0, (session.maps[0] ?? 1) - 1);
    const now = unit.get();
    session.askMap(next);
    if (now) session.setUnit([next, ...now.slice(1)] as unknown as Unit);
    show();
  }

  function explain(what: What): void {
    const { channel } = session;
    if (what === "place") session.setUnit([channel, ...(here() ?? [0, 0])] as unknown as Unit);
    else session.setUnit(what === "class" ? null : [channel, what]);
  }

  /** The cell that is explained, else that of the largest value. */
  function here(): readonly [number, number] | undefined {
    const [, y, x] = unit.get() ?? [];
    return typeof y === "number" ? [y, x as number] : session.got.map?.meta.best;
  }

  function show(): void {
    const [, what = "class"] = unit.get() ?? [];
    number.max = String((session.maps[0] ?? 1) - 1);
    number.value = String(session.channel);
    whats.value = typeof what === "number" ? "place" : what;
    showMap();
  }

  function showMap(): void {
    const blob = session.got.map;
    const cell = here();
    map.hidden = blob?.meta.layer !== session.layers.current.get();
    if (!blob || map.hidden || !cell) return;
    const { size, ...codes } = mapOf(blob);
    const { lo, hi } = codes;
    const range = [lo < 0 ? Math.min(lo, -hi) : lo, Math.max(-lo, hi)] as const;
    const look = { colours: table(lo < 0 ? "RdBu_r" : "viridis"), range: () => range };
    picture.show(mapCanvas(codes, size[1], size[0], look), size[1], size[0]);
    const [y, x] = cell;
    const at = typeof unit.get()?.[1] === "number";
    picture.boxes(at ? [{ top: y, left: x, bottom: y + 1, right: x + 1 }] : []);
    const value = three(decode(codes.codes[y * size[1] + x] ?? 255, lo, hi));
    text(words, `${at ? "" : "maximum "}${value} at (${y}, ${x}). Click a cell to explain it.`);
    setProps(canvas, {
      "aria-label": `channel ${blob.meta.channel}, ${words.textContent}`,
      "aria-description": "Arrows explain the next cell.",
    });
  }

  function key(event: KeyboardEvent): void {
    const [, height = 1, width = 1] = session.maps;
    const [y, x] = here() ?? [0, 0];
    const to = moved(event, { y, x }, [height, width], 1);
    if (to) session.place({ u: (to.x + 0.5) / width, v: (to.y + 0.5) / height });
  }

  function showSwitches(): void {
    const { switches } = session.got;
    legend.hidden = !session.showSwitches || !switches;
    if (!switches) return;
    const at = numbers<Int32Array>(switches, "layer");
    const parts = (switches.meta.layers as string[]).map((name, i) => {
      const dot = h("i", { class: "at-dot" });
      dot.style.background = DOTS[i % DOTS.length] as string;
      return span("", dot, `${at.filter((each) => each === i).length} in ${name} `);
    });
    const note = String(switches.meta.note ?? "");
    const none = note || "There is no max pooling on the way.";
    fill(legend, ...(parts.length ? [...parts, note] : [none]));
  }
}
