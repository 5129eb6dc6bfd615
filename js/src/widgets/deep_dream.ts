// DeepDream: an image is changed until a layer sees more of what it sees already. Wiring only; the
// parts are in ../dream.

import { createDreaming } from "../dream/dreaming.ts";
import { layOut } from "../dream/page.ts";
import { createSession } from "../dream/session.ts";
import { createGroup, createLogSetting, createSetting } from "../dream/settings.ts";
import { createThumbs } from "../dream/thumbs.ts";
import { firstOf, type Weights } from "../dream/weights.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
// After the sheets of lib, so that it may change what they say.
import "../dream/dream.css";

function build(shell: Shell): void {
  const layer = firstOf(shell.trait<Weights>("mix"));
  const session = createSession(shell, { measure: "objective", part: "octave", layer });
  const number = (name: string, label: string, title: string, range: [number, number, number]) => {
    const [min, max, step] = range;
    return createSetting(session, name, { label, title, min, max, step });
  };
  const settings = createGroup(
    session,
    "dr-settings",
    "settings",
    createLogSetting(session, "lr", {
      label: "strength",
      title: "Mean change of a colour (0..1) by a step",
      scale: { lo: 0.001, hi: 0.1 },
    }),
    number("octaves", "octaves", "How many sizes, the smallest first", [1, 8, 1]),
    number("octave_scale", "octave scale", "From one size to the next", [1.1, 2, 0.05]),
    number("steps", "steps", "At each size", [1, 50, 1]),
    number("jitter", "jitter", "Largest random shift before a step, in pixels", [0, 64, 1]),
    number("smooth", "smoothness", "Fine patterns give way to larger ones", [0, 1.5, 0.05]),
  );
  layOut(session, {
    before: true,
    side: [createDreaming(session), settings],
    layers: createThumbs(session),
  });
}

export default { render: (context: Context) => mount("deep_dream", context, build) };
