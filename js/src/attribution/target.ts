// What is explained: a class, minus another one, by logit or probability; and its score, always.

import { createClassPicker } from "../lib/classes.ts";
import { button, select } from "../lib/controls.ts";
import { h, text } from "../lib/dom.ts";
import { box, span } from "../lib/small.ts";
import type { ScoreKind } from "./results.ts";
import type { Session } from "./session.ts";
import { sayScore, sayUnit } from "./words.ts";

export function createTarget(session: Session): HTMLElement {
  const { shell, target, score, unit, classes } = session;
  const { signal } = shell;
  const now = () => target.get() ?? { name: "", index: null, other: null };
  const called = (index: number | null, none: string) =>
    index === null ? none : (classes.get()?.[index] ?? `class ${index}`);
  const first = createClassPicker(shell, {
    label: "explain",
    none: "predicted class",
    names: classes.get,
    shown: () => called(now().index, now().name),
    choose: (index) => session.setTarget(index, now().other),
  });
  const second = createClassPicker(shell, {
    label: "minus",
    none: "no class",
    names: classes.get,
    shown: () => called(now().other, ""),
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
