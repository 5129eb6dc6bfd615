// Whose score the sweep maps: a class by name or number, found while typing.

import { search } from "../lib/controls.ts";
import { fill, h, on } from "../lib/dom.ts";
import { span, uniqueId } from "../lib/small.ts";
import type { Session } from "./session.ts";
import { findClass, suggestions } from "./verdict.ts";

const PREDICTED = "predicted class";

export function createTarget(session: Session): HTMLElement {
  const { signal } = session.shell;
  const list = h("datalist", { id: uniqueId() });
  const box = search(
    {
      label: "target",
      title: "Whose score is mapped: a class by name or number; or click a class above",
      onInput: offer,
    },
    signal,
  );
  const { input } = box;
  let last = "";
  /** What was chosen since the field has the keyboard. */
  let chosen: string | null = null;
  input.setAttribute("list", list.id);
  on(input, "focus", begin, signal);
  on(input, "change", choose, signal);
  on(input, "blur", show, signal);
  session.on(["target"], show);
  return span("oc-target", box.el, list);

  function classes(): readonly string[] {
    return session.classes.get() ?? [];
  }

  /** All classes are offered at first: the name that stands there would hide them. */
  function begin(): void {
    chosen = null;
    input.select();
    offer("");
  }

  function offer(typed: string): void {
    const names = [PREDICTED, ...suggestions(typed, classes())];
    fill(list, ...names.map((value) => h("option", { value })));
    // A choice from the list comes as input too, but in one piece.
    if (typed.length > last.length + 1 && names.includes(typed)) choose();
    last = typed;
  }

  function choose(): void {
    if (input.value === chosen) return;
    chosen = input.value;
    const index = input.value === PREDICTED ? null : findClass(input.value, classes());
    const unknown = index === null && input.value !== PREDICTED;
    if (unknown && input.value.trim() !== "") {
      session.shell.status(`There is no class “${input.value}”.`);
    } else session.setTarget(index);
  }

  function show(): void {
    const { name } = session.target.get() ?? { name: "" };
    if (input.matches(":focus")) return;
    box.value = name;
    input.placeholder = name;
  }
}
