// Pooling: maps before and after, and what if they were pooled otherwise. Wiring only; the parts are
// in ../pooling.

import { createHeadline } from "../lib/layers/headline.ts";
import { createRibbon } from "../lib/layers/ribbon.ts";
import { box } from "../lib/small.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
import { createContributions } from "../pooling/contributions.ts";
import { createControls } from "../pooling/controls.ts";
import { createGap } from "../pooling/gap.ts";
import { createOne } from "../pooling/one.ts";
import { createPush } from "../pooling/push.ts";
import { createSession } from "../pooling/session.ts";
import { createShift } from "../pooling/shift.ts";
import { createStack } from "../pooling/stack.ts";
import { createStage } from "../pooling/stage.ts";
import { createToolbar } from "../pooling/toolbar.ts";
import { createVector } from "../pooling/vector.ts";
import { createWalk } from "../pooling/walk.ts";
// After the sheets of lib, so that it may change what they say.
import "../pooling/pooling.css";

function build(shell: Shell): void {
  const session = createSession(shell);
  const walk = createWalk(session);
  const gap = createGap(session);
  const vector = createVector(session, gap);
  const parts = {
    "one channel": createOne(session, walk),
    "all maps": createStack(session),
    vector,
  };
  const stage = createStage(session, walk, parts);
  const { rows: layers } = session;
  const inOrder = { ...session.choice, layers };
  // In the picker those that pool come first.
  const sorted = () => [...layers()].sort((a, b) => Number(!a.pool) - Number(!b.pool));
  shell.head.append(createRibbon(inOrder).element);
  shell.body.append(
    createHeadline({ ...inOrder, layers: sorted }).element,
    box(
      "po-main",
      box("po-left", createControls(session).element, stage.aside),
      box(
        "po-right",
        createToolbar(session, walk, vector).element,
        stage.element,
        createContributions(session, gap).element,
      ),
    ),
    box("po-panels", createPush(session).element, createShift(session).element),
  );
  shell.code(() => ({ channel: session.channel.get(), ...session.args() }));
  session.start();
  session.emit("view");
}

export default { render: (context: Context) => mount("pooling", context, build) };
