// Maximize: what a channel, a neuron or a class likes best, from noise. Wiring only; the parts are
// in ../dream.

import { layOut } from "../dream/page.ts";
import { createSession } from "../dream/session.ts";
import { createGroup, createLogSetting, createSetting } from "../dream/settings.ts";
import { createThumbs } from "../dream/thumbs.ts";
import { createUnit } from "../dream/unit.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
// After the sheets of lib, so that it may change what they say.
import "../dream/dream.css";

function build(shell: Shell): void {
  const target = shell.trait<number | null>("target");
  const chosen = shell.trait<string>("layer");
  const layer = {
    ...chosen,
    /** Who chooses a layer wants to see it, and not the class; also the one that is chosen. */
    set(name: string): void {
      target.set(null);
      chosen.set(name);
    },
  };
  const session = createSession(shell, { measure: "objective", part: "", layer });
  const number = (name: string, label: string, title: string, range: [number, number, number]) => {
    const [min, max, step] = range;
    return createSetting(session, name, { label, title, min, max, step });
  };
  const settings = createGroup(
    session,
    "dr-settings",
    "settings",
    number("count", "results", "How many at once", [1, 9, 1]),
    number("diversity", "diversity", "How strongly they are kept apart", [0, 5, 0.1]),
    createLogSetting(session, "lr", {
      label: "strength",
      title: "Adam's learning rate",
      scale: { lo: 0.005, hi: 0.5 },
    }),
    number("steps", "steps", "In all", [16, 1024, 16]),
    number("transforms", "transforms", "Strength of the random turns and shifts", [0, 2, 0.1]),
  );
  layOut(session, {
    before: false,
    side: [createUnit(session), settings],
    layers: createThumbs(session),
  });
}

export default { render: (context: Context) => mount("maximize", context, build) };
