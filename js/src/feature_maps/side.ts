// Left: what the network looks at, and what it takes it for.

import { h, setProps } from "../lib/dom.ts";
import { createPredictions } from "../lib/images/predictions.ts";
import { createStrip } from "../lib/images/strip.ts";
import { createPicture, rgbCanvas } from "../lib/picture.ts";
import { box } from "../lib/small.ts";
import type { Session } from "./session.ts";

export function createSide(session: Session) {
  const { images, imageChoice, image, shell } = session;
  const canvas = h("canvas", { "data-role": "picture", role: "img" });
  const picture = createPicture(canvas, shell.signal);
  const element = h(
    "aside",
    { class: "fm-aside", "aria-label": "image and prediction" },
    box("fm-photo", canvas, createStrip(imageChoice).element),
    createPredictions(imageChoice).element,
  );
  session.on(["maps"], showPicture);
  session.on(["hover"], () => {
    const box = session.hover?.box;
    picture.boxes(box ? [box] : []);
  });
  imageChoice.onImages(name);
  image.on(name);
  name();

  function showPicture(): void {
    const { maps } = session;
    if (!maps) return;
    const [height = 1, width = 1] = maps.picture.shape;
    picture.show(rgbCanvas(maps.picture.data, width, height), width, height);
  }

  function name(): void {
    const index = image.get();
    setProps(canvas, { "aria-label": `image: ${images()?.names[index] ?? index}` });
  }
  return { element };
}
