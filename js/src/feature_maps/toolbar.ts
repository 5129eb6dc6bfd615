// How the maps are shown. None of these asks the kernel anything.

import { NAMES, type Scale } from "../lib/colormap.ts";
import { createColourBar } from "../lib/colour_bar.ts";
import { type Choice, checkbox, select, slider } from "../lib/controls.ts";
import { box, span } from "../lib/small.ts";
import type { Detail } from "./detail.ts";
import type { Grid } from "./grid.ts";
import type { Sort } from "./order.ts";
import type { Session } from "./session.ts";

const SORTS: readonly Choice<Sort>[] = ["index", "mean", "max", "variance", "sparsity"];
const SCALES: readonly Choice<Scale>[] = [
  ["map", "per map"],
  ["layer", "per layer"],
  ["symmetric", "symmetric"],
];

export function createToolbar(session: Session, grid: Grid, detail: Detail) {
  const { signal } = session.shell;
  const { sort, scale, colormap, hideDead } = session;
  const sorts = select<Sort>(
    { label: "sort", options: SORTS, value: sort.get(), onChange: (v) => sort.set(v) },
    signal,
  );
  const dead = checkbox(
    { label: "hide dead", value: hideDead.get(), onChange: (v) => hideDead.set(v) },
    signal,
  );
  const scales = select<Scale>(
    {
      label: "scale",
      options: SCALES,
      value: scale.get(),
      onChange: (v) => scale.set(v),
    },
    signal,
  );
  const colours = select<string>(
    {
      label: "colours",
      options: ["auto", ...NAMES],
      value: colormap.get(),
      onChange: (v) => colormap.set(v),
    },
    signal,
  );
  const contrast = slider(
    {
      label: "contrast",
      min: 0,
      max: 100,
      value: 0,
      bare: true,
      unit: " %",
      onInput: (value) => {
        session.contrast = value / 100;
        session.changeLook();
      },
    },
    signal,
  );
  const size = slider(
    {
      label: "size",
      min: 32,
      max: 192,
      step: 4,
      value: grid.size,
      bare: true,
      unit: " px",
      onInput: (value) => {
        grid.size = value;
      },
    },
    signal,
  );
  for (const [trait, control] of [
    [sort, sorts],
    [scale, scales],
    [colormap, colours],
    [hideDead, dead],
  ] as const) {
    (trait as { on(fn: (value: unknown) => void): void }).on((value) => {
      (control as { value: unknown }).value = value;
    });
  }
  session.on(["maps", "order"], () => {
    size.value = grid.size;
  });
  const gridOnly = [sorts.el, dead.el, size.el];
  session.on(["channel"], () => {
    const open = session.channel.get() !== null;
    for (const el of gridOnly) el.hidden = open;
    detail.head.hidden = !open;
  });
  const bar = createColourBar();
  session.on(["maps", "look", "channel", "compare"], () => {
    const { colours, range } = session.shown;
    bar.show(colours, range);
  });
  const spacer = span("nbc-spacer");
  // Wrapped together where there is no room for both.
  const pairs = [box("fm-both", contrast.el, size.el), box("fm-both", colours.el, bar.element)];
  const element = box("fm-tools", detail.head, sorts.el, dead.el, spacer, scales.el, ...pairs);

  return { element };
}
