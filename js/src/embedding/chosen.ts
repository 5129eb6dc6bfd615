// What is selected: how many of which class, their pictures, what their feature maps have in common.

import { unpackTable } from "../lib/colormap.ts";
import { button } from "../lib/controls.ts";
import { fill, h, setProps, text } from "../lib/dom.ts";
import { percent, plural } from "../lib/format.ts";
import { box, span } from "../lib/small.ts";
import { viridis } from "../lib/tables.ts";
import { mapCanvas } from "../lib/tiles.ts";
import { countOf, evenly } from "./bits.ts";
import { type Feed, readMeans } from "./feed.ts";
import { classColours, css } from "./palette.ts";
import type { Column } from "./points.ts";
import type { Session } from "./session.ts";
import type { Thumbs } from "./thumbs.ts";

const MONTAGE = 48;
const CLASSES = 8;

export function createChosen(session: Session, feed: Feed, thumbs: Thumbs): HTMLElement {
  const { shell, layers } = session;
  const { signal } = shell;
  const title = h("h4", { class: "nbc-title" });
  const hint = h("p", { class: "nbc-muted em-note" }, "Draw around points with the lasso or box.");
  const bars = h("ul", { class: "em-bars", "aria-label": "classes of the selection" });
  const montage = box("em-montage");
  setProps(montage, {
    "data-role": "montage",
    role: "group",
    "aria-label": "pictures selected",
    // It may scroll.
    tabindex: 0,
  });
  const maps = box("em-maps");
  const clear = button(
    {
      label: "Clear",
      title: "Select nothing (Escape)",
      onClick: () => session.select(new Uint8Array(session.points.total)),
    },
    signal,
  );
  const ask = shell.needsKernel(
    button(
      {
        label: "Mean feature maps",
        title: "Channels in which the selection differs most from all",
        onClick: feed.askMaps,
      },
      signal,
    ),
  );
  const acts = box("em-acts", ask, clear);
  session.on(["selection", "points"], show);
  session.on(["maps"], showMaps);
  thumbs.onCome(showMontage);
  show();
  return h("section", { "aria-label": "selection" }, title, hint, bars, montage, acts, maps);

  function show(): void {
    const { selected, points } = session;
    const { total } = points;
    const share = total ? ` of ${total} (${percent(selected / total)})` : "";
    text(title, selected ? `selected: ${selected}${share}` : "selection");
    hint.hidden = selected > 0;
    acts.hidden = selected === 0;
    ask.hidden = points.choices !== "network" || layers.layers().length === 0;
    showBars();
    showMontage();
    showMaps();
  }

  function showBars(): void {
    const column = classesOf(session);
    const rows = column && session.selected ? counted(session, column) : [];
    const most = rows[0]?.[1] ?? 1;
    const colours = column ? classColours(column) : [];
    const shown = rows.slice(0, CLASSES).map(([code, count]) => {
      const fillBar = span("em-bar");
      fillBar.style.width = `${(100 * count) / most}%`;
      fillBar.style.background = css(colours[code] ?? [0, 0, 0]);
      const track = h("span", { class: "em-track", "aria-hidden": "true" }, fillBar);
      const word = column?.values[code] ?? "";
      return h("li", { title: word }, span("nbc-clip", word), track, span("em-count", count));
    });
    const left = rows.length - CLASSES;
    const more =
      left > 0 &&
      h("li", { class: "em-more nbc-muted" }, `and ${plural(left, "more class", "more classes")}`);
    fill(bars, ...shown, more);
  }

  function showMontage(): void {
    const { selection, selected } = session;
    montage.hidden = !selected || !thumbs.any();
    const numbers = montage.hidden ? [] : evenly(selection, MONTAGE);
    fill(montage, ...numbers.map((number) => thumbs.photo(number)));
  }

  function showMaps(): void {
    const blob = feed.maps();
    fill(maps);
    if (!blob) return;
    const colours = unpackTable(viridis);
    const means = readMeans(blob);
    const [low, high] = [means.map(({ lo }) => lo), means.map(({ hi }) => hi)];
    // Single values can only be compared with one another.
    const all = [Math.min(0, ...low), Math.max(...high)] as const;
    const tiles = means.map(({ channel, width, height, ...map }) => {
      const range = () => (width * height > 1 ? ([map.lo, map.hi] as const) : all);
      const canvas = mapCanvas(map, width, height, { colours, range });
      setProps(canvas, {
        class: "em-map",
        role: "img",
        "aria-label": `mean of channel ${channel}`,
      });
      return h("figure", null, canvas, h("figcaption", { class: "nbc-muted" }, channel));
    });
    const of = plural(blob.meta.count, "image");
    const words = `Means over ${of} at ${blob.meta.layer}: the channels in which they differ most.`;
    fill(maps, h("p", { class: "nbc-muted em-note" }, words), box("em-row", ...tiles));
  }
}

/** The column that tells classes: the labels, else what is predicted. */
function classesOf({ points }: Session): Column | undefined {
  const called = (key: string) => points.columns.find((column) => column.key === key);
  return called("label") ?? called("prediction") ?? points.columns.find(({ codes }) => codes);
}

/** Codes and how many of the selection have them, most first. */
function counted(session: Session, column: Column): Array<[code: number, count: number]> {
  const { points, selection } = session;
  const counts = new Map<number, number>();
  if (countOf(selection) === 0) return [];
  for (let i = 0; i < points.count; i++) {
    const code = column.codes?.[i] as number;
    if (!selection[session.number(i)] || code >= column.values.length) continue;
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a);
}
