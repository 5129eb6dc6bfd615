// Labelled native controls. Each returns its element and a `value` that can be read and set;
// setting it does not call back.

import { type Child, fill, h, on, setProps, text } from "./dom.ts";
import { take } from "./small.ts";

export interface Control<T> {
  /** What goes into the page: the label with the input in it. */
  el: HTMLElement;
  /** The input itself. */
  input: HTMLElement;
  value: T;
}

interface Common {
  label: string;
  /** Keep the label for screen readers alone. */
  quiet?: boolean;
  title?: string;
}

/** A label with its inputs. */
export function labelled(common: Common, ...inputs: Child[]): HTMLLabelElement {
  const name = h("span", { class: common.quiet ? "nbc-hidden" : "nbc-label" }, common.label);
  return h("label", { class: "nbc-control", title: common.title }, name, ...inputs);
}

/** A value that the page holds. */
function control<T, E extends HTMLElement>(
  el: HTMLElement,
  input: E,
  read: () => T,
  write: (value: T) => void,
) {
  return {
    el,
    input,
    get value() {
      return read();
    },
    set value(value: T) {
      write(value);
    },
  };
}

export type Choice<T extends string> = readonly [value: T, label: string] | T;

export interface SelectControl<T extends string> extends Control<T> {
  setOptions(options: readonly Choice<T>[]): void;
}

/** A drop-down list. */
export function select<T extends string>(
  props: Common & { options: readonly Choice<T>[]; value: T; onChange: (value: T) => void },
  signal: AbortSignal,
): SelectControl<T> {
  const input = h("select");
  const setOptions = (options: readonly Choice<T>[]): void => {
    const { value } = input;
    const all = options.map((o) => (typeof o === "string" ? [o, o] : o) as [T, string]);
    fill(input, ...all.map(([key, label]) => h("option", { value: key }, label)));
    input.value = value;
  };
  const read = (): T => input.value as T;
  const write = (value: T): void => {
    input.value = value;
  };
  setOptions(props.options);
  write(props.value);
  on(input, "change", () => props.onChange(read()), signal);
  return Object.assign(control(labelled(props, input), input, read, write), { setOptions });
}

/** A range input with its value beside it. */
export function slider(
  props: Common & {
    min: number;
    max: number;
    step?: number;
    value: number;
    /** Stands behind the value, as " %" does. */
    unit?: string;
    /** The value as text, for the eye and for screen readers; the number and its unit. */
    format?: (value: number) => string;
    /** Show no number beside it. */
    bare?: boolean;
    onInput: (value: number) => void;
  },
  signal: AbortSignal,
): Control<number> {
  const { min, max, step = 1, unit = "", format = (value) => value + unit } = props;
  const input = h("input", { type: "range", min, max, step });
  // aria-valuetext says it already; the output must not say it again.
  const output = h("output", { class: "nbc-output", hidden: props.bare, "aria-live": "off" });
  const show = (): void => {
    const said = format(input.valueAsNumber);
    text(output, said);
    setProps(input, { "aria-valuetext": said });
  };
  const write = (value: number): void => {
    input.value = String(value);
    show();
  };
  const move = (): void => {
    show();
    props.onInput(input.valueAsNumber);
  };
  write(props.value);
  on(input, "input", move, signal);
  return control(labelled(props, input, output), input, () => input.valueAsNumber, write);
}

export interface ButtonProps extends Common {
  onClick: () => unknown;
  primary?: boolean;
  /** Without a border: for the frame around the widget. */
  ghost?: boolean;
  /** Show this instead of the label, which then only names the button. */
  glyph?: Child;
}

/** A push button. */
export function button(props: ButtonProps, signal: AbortSignal): HTMLButtonElement {
  const { label, glyph, primary, ghost } = props;
  const name = glyph ? label : null;
  const el = h(
    "button",
    {
      type: "button",
      class: primary ? "nbc-primary" : ghost && "nbc-ghost",
      "aria-label": name,
      title: props.title ?? name,
    },
    glyph ?? label,
  );
  on(el, "click", () => props.onClick(), signal);
  return el;
}

/** A button that stays pressed. */
export function toggle(
  props: Omit<ButtonProps, "onClick"> & { value: boolean; onChange: (value: boolean) => void },
  signal: AbortSignal,
): Control<boolean> {
  const read = (): boolean => el.getAttribute("aria-pressed") === "true";
  const write = (value: boolean): void => setProps(el, { "aria-pressed": String(value) });
  const onClick = (): void => {
    write(!read());
    props.onChange(read());
  };
  const el = button({ ...props, onClick }, signal);
  write(props.value);
  return control(el, el, read, write);
}

/** A check box with its label behind it. */
export function checkbox(
  props: Common & { value: boolean; onChange: (value: boolean) => void },
  signal: AbortSignal,
): Control<boolean> {
  const input = h("input", { type: "checkbox" });
  const write = (value: boolean): void => {
    input.checked = value;
  };
  write(props.value);
  on(input, "change", () => props.onChange(input.checked), signal);
  const el = labelled(props);
  el.prepend(input);
  return control(el, input, () => input.checked, write);
}

/** A search box; Escape empties it before it does anything else. */
export function search(
  props: Common & { placeholder?: string; onInput: (value: string) => void },
  signal: AbortSignal,
): Control<string> & { input: HTMLInputElement } {
  const input = h("input", {
    type: "search",
    placeholder: props.placeholder,
    autocomplete: "off",
    spellcheck: "false",
  });
  const write = (value: string): void => {
    input.value = value;
  };
  on(input, "input", () => props.onInput(input.value), signal);
  const empty = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || input.value === "") return;
    take(event);
    write("");
    props.onInput("");
  };
  on(input, "keydown", empty, signal);
  return control(labelled(props, input), input, () => input.value, write);
}
