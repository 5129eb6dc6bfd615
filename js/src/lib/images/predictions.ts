// What the network takes the chosen image for: its best classes.

import { h } from "../dom.ts";
import { three } from "../format.ts";
import { createScores } from "../scores.ts";
import { box } from "../small.ts";
import type { ImageChoice } from "./images.ts";

export function createPredictions({ images, current, onImages }: ImageChoice) {
  const scores = createScores();
  const title = h("h4", { class: "nbc-title" }, "prediction");
  const element = box("nbc-predictions", title, scores.element);
  onImages(show);
  current.on(show);
  show();

  function show(): void {
    const predictions = images()?.predictions[current.get()] ?? [];
    title.hidden = predictions.length === 0;
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
