// What hiding does to the answer: a headline, and bars of the classes. A class is a button: it
// becomes the target of the sweep.

import { h, on, setProps, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { addChange, createScores, type Score } from "../lib/scores.ts";
import { box, span } from "../lib/small.ts";
import type { Announcer } from "./announce.ts";
import type { Session } from "./session.ts";
import type { Stage } from "./stage.ts";
import { type Scores, spoken, verdict } from "./verdict.ts";

const ROW = 24;
/** So many rows have their place from the beginning. */
const ROWS = 7;

export function createResults(session: Session, stage: Stage, say: Announcer) {
  const { shell } = session;
  const icon = span("oc-flip", "⇄");
  const name = span("nbc-name");
  const what = span("nbc-muted");
  const numbers = span("nbc-clip");
  const latency = h("span", { class: "oc-latency", title: "From the pointer to the shown score" });
  const verdictLine = box("oc-verdict nbc-clip", icon, name, what);
  const line = box("oc-numbers nbc-muted", numbers, latency);
  const bars = createScores("class scores", addTarget);
  const rows = shell.needsKernel(box("oc-bars", bars.element));
  const title = h("div", { class: "oc-headline", "data-role": "verdict" }, verdictLine, line);
  const element = h("section", { class: "oc-results", "aria-label": "scores" }, title, rows);
  icon.setAttribute("aria-hidden", "true");
  let most = ROWS;
  let said: Scores | null = null;
  session.on(["scores"], show);
  session.on(["target"], mark);
  return { element };

  function show(): void {
    const { scores } = session;
    const lost = session.unscored;
    element.toggleAttribute("data-stale", lost);
    if (!scores) return;
    const { flipped, ...words } = verdict(scores);
    title.toggleAttribute("data-flipped", flipped && !lost);
    stage.flip(flipped && !lost);
    icon.hidden = !flipped || lost;
    text(name, lost ? "not computed" : words.name);
    text(what, lost ? `the last answer was ${scores.predicted.label}` : words.what);
    text(numbers, lost ? "What you paint is kept; its scores are not known." : words.numbers);
    const { latency: ms } = session;
    text(latency, ms === null || lost ? "" : `${Math.round(ms)} ms`);
    const { classes } = scores;
    most = Math.max(most, classes.length);
    rows.style.minHeight = `${most * ROW}px`;
    bars.update(classes.map(toScore));
    mark();
    if (said !== scores && said !== null) say(spoken(scores));
    said = scores;
  }

  /** Which class is the target, and which is the answer. */
  function mark(): void {
    const target = session.target.get()?.index;
    const answer = session.scores?.predicted.index;
    for (const item of bars.element.children) {
      const index = Number((item as HTMLElement).dataset.class);
      setProps(item, { "data-answer": index === answer });
      const press = item.querySelector("button");
      press?.setAttribute("aria-pressed", String(index === target));
    }
  }

  function addTarget(item: HTMLElement, track: HTMLElement) {
    const change = addChange(item, track);
    const press = h("button", { type: "button", class: "oc-row" });
    const index = Number(item.dataset.class);
    on(press, "click", () => session.setTarget(index), shell.signal);
    item.append(press);
    return (score: Score): void => {
      change(score);
      setProps(press, { "aria-label": `${score.label}: target of the sweep`, title: score.detail });
    };
  }
}

function toScore({ index, label, logit, probability, before }: Scores["classes"][number]): Score {
  const logits = `logit ${three(before.logit)} → ${three(logit)}`;
  return {
    index,
    label,
    value: probability,
    reference: before.probability,
    detail: `${label} · class ${index} · ${logits}. Click: map this class in the sweep.`,
  };
}
