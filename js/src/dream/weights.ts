// Layers with weights, in a trait {name: weight}: a slider each, one more, one less.

import { button, slider } from "../lib/controls.ts";
import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { type LayerRow, spatial } from "../lib/layers/layer.ts";
import { box } from "../lib/small.ts";
import type { Trait } from "../lib/view.ts";
import type { Session } from "./session.ts";

export type Weights = Record<string, number>;

export interface WeightsProps {
  trait: Trait<Weights>;
  /** Names the sliders, as in "weight of conv3". */
  label: string;
  min: number;
  max: number;
}

/** "0.50": always two decimals, so that the column does not jump. */
const two = (value: number): string => value.toFixed(2);

export function createWeights(session: Session, props: WeightsProps): HTMLElement {
  const { shell, layers } = session;
  const { signal } = shell;
  const { trait, label, min, max } = props;
  const list = h("ul", { class: "dr-weights", "aria-label": label });
  const more = h("select", { "aria-label": `add to ${label}` });
  const rows = new Map<string, ReturnType<typeof createRow>>();
  trait.on(show);
  layers.onLayers(show);
  on(more, "change", add, signal);
  show();
  return box("", list, more);

  function weights(): Weights {
    return trait.get() ?? {};
  }

  function show(): void {
    const names = Object.keys(weights());
    for (const name of rows.keys()) if (!names.includes(name)) rows.delete(name);
    const wanted = names.map((name) => {
      const row = rows.get(name) ?? createRow(name);
      rows.set(name, row);
      row.show(weights()[name] as number, names.length === 1);
      return row.element;
    });
    const same = wanted.every((el, i) => el === list.children[i]);
    if (!same || wanted.length !== list.childElementCount) fill(list, ...wanted);
    offer(names);
  }

  function offer(names: readonly string[]): void {
    const free = layers.layers().filter((row) => spatial(row) && !names.includes(row.name));
    const option = ({ name, label }: LayerRow) => h("option", { value: name }, label);
    fill(more, h("option", { value: "" }, "add a layer …"), ...free.map(option));
    more.value = "";
  }

  function add(): void {
    const name = more.value;
    if (!name) return;
    const [first = 1] = Object.values(weights());
    trait.set({ ...weights(), [name]: Math.abs(first) || max });
  }

  function remove(name: string): void {
    const left = { ...weights() };
    delete left[name];
    trait.set(left);
    more.focus();
  }

  function createRow(name: string) {
    const title = h("span", { class: "dr-name nbc-clip", title: name });
    const weight = slider(
      {
        label: `weight of ${name}`,
        quiet: true,
        min,
        max,
        step: 0.05,
        value: 0,
        format: two,
        onInput: (value) => trait.set({ ...weights(), [name]: value }),
      },
      signal,
    );
    const less = button(
      { label: `remove ${name}`, glyph: "×", onClick: () => remove(name) },
      signal,
    );
    less.classList.add("nbc-ghost");
    const element = h("li", { "data-layer": name }, title, weight.el, less);
    return { element, show: showRow };

    function showRow(value: number, only: boolean): void {
      text(title, layers.layers().find((row) => row.name === name)?.label ?? name);
      if (Math.abs(weight.value - value) > 1e-6) weight.value = value;
      setProps(less, { hidden: only });
    }
  }
}

/** A trait of weights as the trait of one layer: the first, which another takes the place of. */
export function firstOf(trait: Trait<Weights>): Trait<string> {
  const first = (): string => Object.keys(trait.get() ?? {})[0] ?? "";
  return {
    get: first,
    set(name) {
      const now = trait.get() ?? {};
      const old = first();
      if (name === old) return;
      const rest = Object.entries(now).filter(([each]) => each !== old && each !== name);
      trait.set(Object.fromEntries([[name, now[old] ?? 1], ...rest]));
    },
    on: (fn) => trait.on(() => fn(first())),
  };
}
