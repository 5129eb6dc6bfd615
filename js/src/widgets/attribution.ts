// Attribution: which parts of an image a score is due to, method beside method. Wiring only; the
// parts are in ../attribution.

import { createMask } from "../attribution/mask.ts";
import { createPatches } from "../attribution/patches.ts";
import { createSession } from "../attribution/session.ts";
import { createSide } from "../attribution/side.ts";
import { createStage } from "../attribution/stage.ts";
import { createTarget } from "../attribution/target.ts";
import { createTermsPanel } from "../attribution/terms_panel.ts";
import { createToolbar } from "../attribution/toolbar.ts";
import { createHeadline } from "../lib/layers/headline.ts";
import { createRibbon } from "../lib/layers/ribbon.ts";
import { box } from "../lib/small.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
// After the sheets of lib, so that it may change what they say.
import "../attribution/attribution.css";

function build(shell: Shell): void {
  const session = createSession(shell);
  const ribbon = createRibbon(session.layers);
  const stage = createStage(session);
  const terms = createTermsPanel(session);
  const patches = createPatches(session);
  const right = box(
    "at-right",
    createToolbar(session),
    stage.element,
    createMask(session),
    terms,
    patches,
  );
  shell.head.append(ribbon.element);
  shell.body.append(
    createHeadline(session.layers).element,
    createTarget(session),
    box("at-main", createSide(session), right),
  );
  shell.code(() => ({
    methods: session.methods.get(),
    layer: session.layers.current.get(),
    unit: session.unit.get(),
  }));
  session.start();
}

export default { render: (context: Context) => mount("attribution", context, build) };
