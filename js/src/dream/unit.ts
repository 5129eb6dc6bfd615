// Whose favourite is looked for: a channel, a neuron of it, or a class.

import { createClassPicker } from "../lib/classes.ts";
import { select } from "../lib/controls.ts";
import { chosen } from "../lib/layers/layer.ts";
import { box } from "../lib/small.ts";
import type { Session } from "./session.ts";
import { createGroup, createNumber } from "./settings.ts";

type What = "channel" | "class";
type Where = "all" | "center" | "place";
export type Position = null | "center" | readonly [y: number, x: number];

export function createUnit(session: Session): HTMLElement {
  const { shell } = session;
  const target = shell.trait<number | null>("target");
  const what = select<What>(
    {
      label: "of a",
      options: ["channel", "class"],
      value: "channel",
      onChange: (value) => {
        if (value === "channel") target.set(null);
        wanted = value;
        show();
      },
    },
    shell.signal,
  );
  const unit = createChannel(session);
  const picker = createClass(session);
  let wanted: What = now();
  target.on(() => {
    wanted = now();
    show();
  });
  show();
  return createGroup(session, "dr-unit", "favourite picture", what.el, unit, picker);

  function now(): What {
    return (target.get() ?? null) === null ? "channel" : "class";
  }

  function show(): void {
    what.value = wanted;
    unit.hidden = wanted === "class";
    picker.hidden = wanted === "channel";
  }
}

function createChannel(session: Session): HTMLElement {
  const { shell, layers } = session;
  const channel = shell.trait<number | null>("channel");
  const position = shell.trait<Position>("position");
  const shape = () => chosen(layers)?.shape ?? [];
  const number = createNumber(session, {
    label: "channel",
    title: "Of the layer that is chosen above",
    value: () => channel.get(),
    most: () => (shape()[0] ?? 1) - 1,
    choose: (value) => (value === null ? number.show() : channel.set(value)),
  });
  const where = select<Where>(
    {
      label: "where",
      options: [
        ["all", "all of its map"],
        ["center", "the middle neuron"],
        ["place", "one neuron"],
      ],
      value: "all",
      onChange: (value) => {
        const [, height = 1, width = 1] = shape();
        const place = [height >> 1, width >> 1] as const;
        position.set(value === "all" ? null : value === "center" ? value : place);
      },
    },
    shell.signal,
  );
  const [row, column] = ["row", "column"].map((label, axis) =>
    createNumber(session, {
      label,
      title: "Of the map",
      value: () => at()[axis] ?? 0,
      most: () => (shape()[axis + 1] ?? 1) - 1,
      choose: (value) => position.set(at().with(axis, value ?? 0) as unknown as Position),
    }),
  );
  const place = box("dr-row", row?.element, column?.element);
  for (const trait of [channel, position]) (trait as { on(fn: () => void): void }).on(show);
  layers.current.on(show);
  layers.onLayers(show);
  show();
  return box("dr-rows", number.element, where.el, place);

  function at(): number[] {
    const now = position.get();
    return Array.isArray(now) ? [...now] : [0, 0];
  }

  function show(): void {
    const now = position.get() ?? null;
    number.show();
    row?.show();
    column?.show();
    where.value = now === null ? "all" : now === "center" ? now : "place";
    place.hidden = !Array.isArray(now);
  }
}

/** A class by name or number, found while typing. */
function createClass(session: Session): HTMLElement {
  const { shell } = session;
  const target = shell.trait<number | null>("target");
  const names = () => session.start?.classes ?? [];
  const picker = createClassPicker(shell, {
    label: "class",
    none: "no class",
    names,
    shown: () => {
      const index = target.get() ?? null;
      return index === null ? "" : (names()[index] ?? String(index));
    },
    choose: (index) => target.set(index),
  });
  target.on(picker.show);
  session.on(["start"], picker.show);
  return box("dr-class", picker.element);
}
