// What is explained: a class, minus another one, by logit or probability; and its score, always.

import { button, search, select } from "../lib/controls.ts";
import { fill, h, on, text } from "../lib/dom.ts";
import { box, span, uniqueId } from "../lib/small.ts";
import { findClass, suggestions } from "../occlusion/verdict.ts";
import type { ScoreKind } from "./results.ts";
import type { Session } from "./session.ts";
import { sayScore, sayUnit } from "./words.ts";

export function createTarget(session: Session): HTMLElement {
  const { shell, target, score, unit } = session;
  const { signal } = shell;
  const now = () => target.get() ?? { name: "", index: null, other: null };
  const first = createPicker(session, {
    label: "explain",
    none: "predicted class",
    current: () => now().index,
    choose: (index) => session.setTarget(index, now().other),
  });
  const second = createPicker(session, {
    label: "minus",
    none: "no class",
    current: () => now().other,
    choose: (other) => {
      wide = other !== null;
      session.setTarget(now().index, other);
      show();
      if (!wide) plus.focus();
    },
  });
  const plus = button(
    {
      label: "+ class",
      title: "Explain the difference of two classes",
      onClick: () => {
        wide = true;
        show();
        second.input.focus();
      },
    },
    signal,
  );
  const kinds = select<ScoreKind>(
    {
      label: "score",
      options: ["logit", "probability"],
      value: score.get(),
      onChange: (value) => score.set(value),
    },
    signal,
  );
  const again = button({ label: "Compute", primary: true, onClick: () => session.ask() }, signal);
  const name = span("nbc-name");
  const said = h("span", { class: "nbc-muted", "data-role": "score" });
  const headline = h("p", { class: "at-headline nbc-clip", "data-role": "target" }, name, said);
  const controls = shell.needsKernel(
    box("at-aim", first.element, second.element, plus, kinds.el, again),
  );
  let wide = now().other !== null;
  session.on(["question", "results"], show);
  shell.channel.onStatus(show);
  return box("at-target", controls, headline);

  function show(): void {
    const { results } = session;
    const chosen = unit.get();
    wide ||= now().other !== null;
    for (const el of [first.element, kinds.el]) el.hidden = chosen !== null;
    second.element.hidden = Boolean(chosen || !wide);
    plus.hidden = Boolean(chosen || wide);
    kinds.value = score.get();
    first.show();
    second.show();
    const missing = session.stale && !shell.channel.pending("attribute");
    again.hidden = !missing || shell.channel.saved;
    const there = results?.target.name && !session.stale;
    text(name, there ? results.target.name : chosen ? sayUnit(chosen) : now().name);
    text(said, there ? sayScore(results) : missing ? "not computed" : "…");
  }
}

interface PickerProps {
  label: string;
  /** What stands for no class. */
  none: string;
  current(): number | null;
  choose(index: number | null): void;
}

/** A class by name or number, found while typing. */
function createPicker({ shell, classes, target }: Session, props: PickerProps) {
  const { signal } = shell;
  const list = h("datalist", { id: uniqueId() });
  const { label, none } = props;
  const field = search({ label, onInput: offer }, signal);
  const { input } = field;
  input.setAttribute("list", list.id);
  on(input, "focus", begin, signal);
  on(input, "change", choose, signal);
  on(input, "blur", show, signal);
  return { element: span("at-class", field.el, list), input, show };

  function names(): readonly string[] {
    return classes.get() ?? [];
  }

  /** All classes are offered at first: the name that stands there would hide them. */
  function begin(): void {
    input.select();
    offer("");
  }

  /** A name in full, typed or taken from the list, is chosen at once. */
  function offer(typed: string): void {
    const all = [none, ...suggestions(typed, names())];
    fill(list, ...all.map((value) => h("option", { value })));
    if (all.includes(typed)) choose();
  }

  function choose(): void {
    const typed = input.value.trim();
    const index = findClass(typed, names());
    if (index !== null || typed === none) props.choose(index);
    else if (typed) shell.status(`There is no class “${typed}”.`);
  }

  function show(): void {
    if (input.matches(":focus")) return;
    const index = props.current();
    const name = index === null ? "" : (names()[index] ?? `class ${index}`);
    field.value = name || (none === "no class" ? "" : (target.get()?.name ?? none));
    input.placeholder = none;
  }
}
