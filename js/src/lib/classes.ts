// A class by name or number, found while typing.

import "./classes.css";
import { labelled } from "./controls.ts";
import { fill, h, on } from "./dom.ts";
import { span, uniqueId } from "./small.ts";
import type { Shell } from "./view.ts";

/** A class by what was typed: its label, its label with its number, or its number. */
export function findClass(typed: string, classes: readonly string[]): number | null {
  const text = typed.trim();
  const named = classes.indexOf(text);
  if (named >= 0) return named;
  const number = /^(?:.* · )?(\d+)$/.exec(text)?.[1];
  if (number !== undefined && (classes.length === 0 || Number(number) < classes.length)) {
    return Number(number);
  }
  const folded = text.toLowerCase();
  const likely = classes.findIndex((label) => label.toLowerCase() === folded);
  return likely >= 0 ? likely : null;
}

/** Names for a list to choose from: at most `most` that hold what was typed. Two classes of one
 * name are told apart by their numbers. */
export function suggestions(typed: string, classes: readonly string[], most = 50): string[] {
  const folded = typed.trim().toLowerCase();
  const found: string[] = [];
  for (let i = 0; i < classes.length && found.length < most; i++) {
    const label = classes[i] as string;
    if (!label.toLowerCase().includes(folded)) continue;
    const twin = classes.indexOf(label) !== i || classes.indexOf(label, i + 1) >= 0;
    found.push(twin ? `${label} · ${i}` : label);
  }
  return found;
}

export interface ClassPickerProps {
  label: string;
  title?: string;
  /** What stands for no class. */
  none: string;
  /** All labels. */
  names(): readonly string[] | null;
  /** What the field shows while nobody types. */
  shown(): string;
  choose(index: number | null): void;
}

/** A field for a class; `show` once another one may have been chosen. */
export function createClassPicker({ signal, status }: Shell, props: ClassPickerProps) {
  const { none, shown } = props;
  const list = h("datalist", { id: uniqueId() });
  const input = h("input", {
    type: "search",
    placeholder: none,
    autocomplete: "off",
    list: list.id,
  });
  /** What was chosen by the present text. */
  let chosen = "";
  on(input, "input", type, signal);
  on(input, "focus", begin, signal);
  on(input, "change", choose, signal);
  on(input, "blur", show, signal);
  return { element: span("nbc-class", labelled(props, input), list), input, show };

  /** All classes are offered at first: the name that stands there would hide them. */
  function begin(): void {
    chosen = "";
    input.select();
    offer("");
  }

  /** What is typed counts, also if it was chosen before and another one elsewhere since. */
  function type(): void {
    chosen = "";
    offer(input.value);
  }

  /** A name in full, typed or taken from the list, is chosen at once. */
  function offer(typed: string): void {
    const all = [none, ...suggestions(typed, props.names() ?? [])];
    fill(list, ...all.map((value) => h("option", { value })));
    if (all.includes(typed)) choose();
  }

  function choose(): void {
    const typed = input.value.trim();
    if (!typed || typed === chosen) return;
    chosen = typed;
    const index = findClass(typed, props.names() ?? []);
    if (index === null && typed !== none) status(`There is no class “${typed}”.`);
    else props.choose(index);
  }

  function show(): void {
    if (!input.matches(":focus")) input.value = shown();
  }
}
