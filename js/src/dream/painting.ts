// What a style transfer is made of: content and styles as pictures, and how much of each counts.

import { slider } from "../lib/controls.ts";
import { fill, h, setProps, text } from "../lib/dom.ts";
import { box } from "../lib/small.ts";
import type { Trait } from "../lib/view.ts";
import { createPhoto } from "./jpeg.ts";
import type { Session } from "./session.ts";
import { createGroup, createLogSetting, createSetting, createSwitch } from "./settings.ts";
import { createWeights, type Weights } from "./weights.ts";

/** Content and styles; several styles have a weight each. */
export function createSources(session: Session): HTMLElement {
  const { shell } = session;
  const weights = shell.trait<number[] | null>("style_weights");
  const content = createPhoto(shell, "content");
  const title = h("figcaption", { class: "nbc-clip" });
  const first = h("figure", { class: "dr-figure", "data-role": "content" }, content.canvas, title);
  const row = box("dr-sources", first);
  const sliders: Array<(value: number) => void> = [];
  let count = -1;
  session.on(["start"], show);
  weights.on(follow);
  return createGroup(session, "dr-pictures", "content and style", row);

  function show(): void {
    const { start } = session;
    if (!start) return;
    text(title, `content: ${start.name}`);
    content.show(start.jpeg, `content: ${start.name}`);
    if (start.styles.length === count) return;
    count = start.styles.length;
    sliders.length = 0;
    fill(row, first, ...start.styles.map((style, i) => figure(style, i)));
    follow();
  }

  function figure({ name, jpeg }: { name: string; jpeg: Uint8Array | null }, i: number) {
    const photo = createPhoto(shell, `style: ${name}`);
    photo.show(jpeg);
    const caption = h("figcaption", { class: "nbc-clip" }, `style: ${name}`);
    const element = h(
      "figure",
      { class: "dr-figure", "data-role": "style" },
      photo.canvas,
      caption,
    );
    if (count > 1) element.append(weight(name, i));
    return element;
  }

  function weight(name: string, i: number): HTMLElement {
    const control = slider(
      {
        label: `weight of ${name}`,
        quiet: true,
        min: 0,
        max: 1,
        step: 0.05,
        value: 1,
        format: (value) => value.toFixed(2),
        onInput: (value) => weights.set(now().with(i, value)),
      },
      shell.signal,
    );
    sliders.push((value) => {
      if (Math.abs(control.value - value) > 0.025) control.value = value;
    });
    return control.el;
  }

  function now(): number[] {
    const { length } = sliders;
    return weights.get() ?? Array.from({ length }, () => 1 / length);
  }

  function follow(): void {
    sliders.forEach((set, i) => {
      set(now()[i] ?? 0);
    });
  }
}

/** How much counts what. */
export function createBalance(session: Session): HTMLElement {
  const weigh = (name: string, label: string, title: string, hi: number) =>
    createLogSetting(session, name, { label, title, scale: { lo: hi / 1e5, hi, zero: true } });
  return createGroup(
    session,
    "dr-settings",
    "settings",
    weigh("content_weight", "content", "How closely the content is kept", 100),
    weigh("style_weight", "style", "How closely the styles are met", 1000),
    weigh("tv_weight", "smoothness", "How much neighbouring colours are drawn together", 1000),
    createSetting(session, "scales", {
      label: "scales",
      title: "How many sizes, each twice the one before",
      min: 1,
      max: 4,
    }),
    createSetting(session, "steps", {
      label: "steps",
      title: "At each size",
      min: 10,
      max: 500,
      step: 10,
    }),
    createSwitch(session, "keep_colours", {
      label: "keep the content's colours",
      title: "Only the lightness changes",
    }),
  );
}

/** The layers whose Gram matrices are the style. */
export function createStyleLayers(session: Session): HTMLElement {
  const trait = session.shell.trait<Weights>("style_layers") as Trait<Weights>;
  const list = createWeights(session, { trait, label: "style layers", min: 0, max: 1 });
  setProps(list, { "data-role": "style-layers" });
  return createGroup(session, "dr-dreaming", "layers of the style", list);
}
