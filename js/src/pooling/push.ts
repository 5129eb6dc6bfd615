// The network with its own pooling call changed: what becomes of the scores.

import { array, type Packed } from "../lib/codec.ts";
import { button } from "../lib/controls.ts";
import { fill, h, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { rgbCanvas } from "../lib/picture.ts";
import { addChange, createScores, probability } from "../lib/scores.ts";
import { box, span } from "../lib/small.ts";
import { type Follow, follow } from "./follow.ts";
import type { Session } from "./session.ts";

interface ClassScore {
  index: number;
  label: string;
  logit: [number, number];
  probability: [number, number];
}

/** What lane "push" answers. */
interface Pushed {
  before: Array<{ label: string }>;
  after: Array<{ label: string }>;
  classes: ClassScore[];
  flipped: boolean;
}

interface Score {
  index: number;
  label: string;
  probability: number;
}

export function createPush(session: Session) {
  const { shell } = session;
  let images: Packed | null = null;
  const name = span("nbc-name");
  const what = span("nbc-muted");
  const bars = createScores("class scores", addChange);
  const photo = box("po-photo");
  const asking: Follow<Pushed> = follow(session, "push", () => session.args(), show);
  const run = button(
    { label: "Push through the network", primary: true, onClick: asking.start },
    shell.signal,
  );
  const element = box(
    "po-push",
    h("p", { class: "po-verdict", "data-role": "verdict", "aria-live": "polite" }, name, what),
    box("po-pair", photo, bars.element),
    box("po-run", run),
  );
  shell.trait("_images").on(drawImage);
  drawImage();
  return { element };

  function drawImage(): void {
    images = shell.packed("_images", (blob) => blob) ?? images;
    if (!images) return;
    const { data, shape } = array(images, "pictures", "uint8");
    fill(photo, rgbCanvas(data, shape[2] ?? 1, shape[1] ?? 1));
    photo.title = images.meta.names[0];
    show();
  }

  function show(): void {
    const { answer, old, refusal } = asking;
    const pools = session.maps?.own !== null;
    const flipped = answer?.flipped === true && !old && !refusal;
    element.toggleAttribute("data-flipped", flipped);
    element.toggleAttribute("data-stale", old || (refusal !== null && answer !== null));
    run.disabled = !pools || session.problem !== null || (answer !== null && !old);
    shell.needsKernel(run);
    const predictions: Score[] = images?.meta.predictions[0] ?? [];
    bars.update(
      answer?.classes.map(({ index, label, logit, probability: [reference, value] }) => {
        const detail = `${label} · class ${index} · logit ${logit.map(three).join(" → ")}`;
        return { index, label, value, reference, detail };
      }) ?? predictions.map((each) => ({ ...each, value: each.probability })),
    );
    let words = [
      predictions[0]?.label ?? "",
      pools ? "as the network pools" : "the network does not pool here",
    ];
    if (refusal !== null) words = ["It does not fit.", refusal];
    else if (answer && old) words = ["", "the scores of other settings"];
    else if (answer) words = told(answer);
    const [first = "", more = ""] = words;
    text(name, first);
    text(what, more);
  }
}

function told({ classes, before, after, flipped }: Pushed): string[] {
  const [was = "", now = ""] = [before[0]?.label, after[0]?.label];
  const change = (label: string) =>
    classes
      .find((each) => each.label === label)
      ?.probability.map(probability)
      .join(" → ");
  if (flipped) return [`was ${was}, now ${now}`, `${was} ${change(was)}, ${now} ${change(now)}`];
  return [now, `still the answer, ${change(now)}`];
}
