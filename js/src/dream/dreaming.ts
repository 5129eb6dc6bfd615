// What a dream is made of: layers with weights, a channel, a guide.

import { button } from "../lib/controls.ts";
import { h, setProps } from "../lib/dom.ts";
import { chosen } from "../lib/layers/layer.ts";
import { box } from "../lib/small.ts";
import { createPhoto } from "./jpeg.ts";
import type { Session } from "./session.ts";
import { createGroup, createNumber, createSwitch } from "./settings.ts";
import { createWeights, type Weights } from "./weights.ts";

export function createDreaming(session: Session): HTMLElement {
  const mix = createWeights(session, {
    trait: session.shell.trait<Weights>("mix"),
    label: "mix",
    min: -1,
    max: 1,
  });
  return createGroup(
    session,
    "dr-dreaming",
    "what is dreamt of",
    mix,
    createChannel(session),
    createGuide(session),
  );
}

function createChannel(session: Session): HTMLElement {
  const { shell, layers } = session;
  const trait = shell.trait<number | number[] | null>("channel");
  const number = createNumber(session, {
    label: "channel",
    title: "One channel of the layer in place of all",
    none: "all",
    value: () => [trait.get() ?? []].flat()[0] ?? null,
    most: () => (chosen(layers)?.shape[0] ?? 1) - 1,
    choose: (value) => trait.set(value),
  });
  const all = button({ label: "all", onClick: () => trait.set(null) }, shell.signal);
  trait.on(show);
  layers.current.on(show);
  layers.onLayers(show);
  show();
  return box("dr-row", number.element, all);

  function show(): void {
    number.show();
    setProps(all, { "aria-pressed": String(trait.get() === null) });
  }
}

/** The image of whose features the dream is made; only where one was given. */
function createGuide(session: Session): HTMLElement {
  const photo = createPhoto(session.shell, "guide");
  const guided = createSwitch(session, "guided", {
    label: "guided",
    title: "Dream of the features of this image",
  });
  const name = h("span", { class: "nbc-muted nbc-clip" });
  const element = box("dr-guide", photo.canvas, guided, name);
  element.hidden = true;
  session.on(["start"], () => {
    const guide = session.start?.guide;
    element.hidden = !guide;
    if (!guide) return;
    name.textContent = `by ${guide.name}`;
    photo.show(guide.jpeg, `guide: ${guide.name}`);
  });
  return element;
}
