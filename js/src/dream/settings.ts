// Settings of a run as sliders over traits; each takes effect on the next step.

import { checkbox, slider } from "../lib/controls.ts";
import { type Child, h, on } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { type LogScale, PLACES, placeOf, valueAt } from "./scale.ts";
import type { Session } from "./session.ts";

/** A group of controls that need the kernel. */
export function createGroup(session: Session, name: string, title: string, ...inside: Child[]) {
  const legend = h("legend", { class: "nbc-title" }, title);
  const element = h("fieldset", { class: `dr-group ${name}` }, legend, ...inside);
  session.on(["lock"], () => {
    element.disabled = session.locked;
  });
  return element;
}

interface Setting {
  label: string;
  /** What it does, in a sentence. */
  title: string;
}

/** A number on a slider of equal steps. */
export function createSetting(
  { shell }: Session,
  name: string,
  props: Setting & { min: number; max: number; step?: number },
): HTMLElement {
  const trait = shell.trait<number>(name);
  // The place of the present value, which may lie between two steps and is said as it is.
  let place = Number.NaN;
  const format = (value: number) => three(value === place ? trait.get() : value);
  const control = slider(
    { ...props, value: trait.get(), format, onInput: (value) => trait.set(value) },
    shell.signal,
  );
  trait.on(show);
  show();
  return control.el;

  function show(): void {
    control.value = trait.get();
    place = control.value;
    control.value = place;
  }
}

/** A number on a slider of equal factors. */
export function createLogSetting(
  { shell }: Session,
  name: string,
  props: Setting & { scale: LogScale },
): HTMLElement {
  const { scale, label, title } = props;
  const trait = shell.trait<number>(name);
  const place = () => placeOf(scale, trait.get());
  // A value from Python lies between two places, and is said as it is.
  const format = (at: number) => three(at === place() ? trait.get() : valueAt(scale, at));
  const control = slider(
    {
      label,
      title,
      min: 0,
      max: PLACES,
      value: place(),
      format,
      onInput: (at) => trait.set(valueAt(scale, at)),
    },
    shell.signal,
  );
  trait.on(() => {
    control.value = place();
  });
  return control.el;
}

/** A choice of yes or no. */
export function createSwitch({ shell }: Session, name: string, props: Setting): HTMLElement {
  const trait = shell.trait<boolean>(name);
  const control = checkbox(
    { ...props, value: trait.get() === true, onChange: (value) => trait.set(value) },
    shell.signal,
  );
  trait.on((value) => {
    control.value = value === true;
  });
  return control.el;
}

/** A whole number to type; empty means `none`. */
export function createNumber(
  { shell }: Session,
  props: Setting & {
    none?: string;
    value(): number | null;
    /** The largest that makes sense now; null: any. */
    most(): number | null;
    choose(value: number | null): void;
  },
) {
  const { label, title, none = "" } = props;
  const input = h("input", { type: "number", min: 0, step: 1, placeholder: none, title });
  const element = h(
    "label",
    { class: "nbc-control" },
    h("span", { class: "nbc-label" }, label),
    input,
  );
  on(input, "change", () => props.choose(read()), shell.signal);
  return { element, input, show };

  function read(): number | null {
    const typed = input.valueAsNumber;
    if (Number.isNaN(typed)) return null;
    return Math.max(0, Math.min(Math.round(typed), props.most() ?? Number.MAX_SAFE_INTEGER));
  }

  function show(): void {
    const most = props.most();
    if (most === null) input.removeAttribute("max");
    else input.max = String(most);
    input.value = String(props.value() ?? "");
  }
}
