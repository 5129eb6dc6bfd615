// Left: what the network looks at, and what it takes it for.

import { h } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { createPicture, rgbCanvas } from "../lib/picture.ts";
import { createScores } from "../lib/scores.ts";
import type { Session } from "./session.ts";
import { box } from "./small.ts";
import { createStrip } from "./strip.ts";

export function createSide(session: Session) {
  const scores = createScores();
  const title = h("h4", { class: "nbc-title" }, "prediction");

  const canvas = h("canvas", { "data-role": "picture", role: "img", "aria-label": "image" });
  const picture = createPicture(canvas, session.shell.signal);
  const element = h(
    "aside",
    { class: "fm-aside", "aria-label": "image and prediction" },
    box("fm-photo", canvas, createStrip(session).element),
    box("fm-predictions", title, scores.element),
  );
  session.on(["maps"], showPicture);
  session.on(["images", "stale"], showScores);
  session.on(["hover"], () => {
    const box = session.hover?.box;
    picture.boxes(box ? [box] : []);
  });

  function showPicture(): void {
    const { maps } = session;
    if (!maps) return;
    const [height = 1, width = 1] = maps.picture.shape;
    picture.show(rgbCanvas(maps.picture.data, width, height), width, height);
  }

  function showScores(): void {
    const { images, image } = session;
    const index = image.get();
    const predictions = images?.predictions[index] ?? [];
    title.hidden = predictions.length === 0;
    picture.canvas.setAttribute("aria-label", `image: ${images?.names[index] ?? index}`);
    scores.update(
      predictions.map(({ index, label, probability, logit }) => ({
        index,
        label,
        value: probability,
        detail: `${label} · class ${index} · logit ${three(logit)}`,
      })),
    );
  }
  return { element };
}
