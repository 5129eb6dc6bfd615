// Occlusion: hide parts of a picture and watch the scores. Wiring only; the parts are in
// ../occlusion.

import { box } from "../lib/small.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
import { createAnnouncer } from "../occlusion/announce.ts";
import { createResults } from "../occlusion/results.ts";
import { createSession } from "../occlusion/session.ts";
import { createStage } from "../occlusion/stage.ts";
import { createSweepPanel } from "../occlusion/sweep_panel.ts";
import { createToolbar } from "../occlusion/toolbar.ts";
// After the sheets of lib, so that it may change what they say.
import "../occlusion/occlusion.css";

function build(shell: Shell): void {
  const session = createSession(shell);
  const { element: spoken, say } = createAnnouncer(shell.signal);
  const tools = createToolbar(session);
  const stage = createStage(session, say);
  const results = createResults(session, stage, say);
  const right = box("oc-right", results.element, createSweepPanel(session, stage, say), spoken);
  shell.head.append(tools.element);
  shell.body.append(box("oc-main", stage.element, right), tools.help);
  shell.code(() => ({}));
  session.start();
}

export default { render: (context: Context) => mount("occlusion", context, build) };
