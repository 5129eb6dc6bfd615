// Embedding: many images as points in the plane, by what a layer makes of them. Wiring only; the
// parts are in ../embedding.

import { createChosen } from "../embedding/chosen.ts";
import { createFeed } from "../embedding/feed.ts";
import { createLapse } from "../embedding/lapse.ts";
import { createLegend } from "../embedding/legend.ts";
import { createSession } from "../embedding/session.ts";
import { createStage } from "../embedding/stage.ts";
import { createThumbs } from "../embedding/thumbs.ts";
import { createToolbar } from "../embedding/toolbar.ts";
import { createTrust } from "../embedding/trust.ts";
import { createHeadline } from "../lib/layers/headline.ts";
import { createRibbon } from "../lib/layers/ribbon.ts";
import { box } from "../lib/small.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
// After the sheets of lib, so that it may change what they say.
import "../embedding/embedding.css";

function build(shell: Shell): void {
  const session = createSession(shell);
  const feed = createFeed(session);
  const thumbs = createThumbs(session);
  const { layers } = session;
  // A layer that is chosen here is mapped at once.
  const current = { ...layers.current, set: feed.chooseLayer };
  const ribbon = createRibbon({ ...layers, current }).element;
  const headline = createHeadline({ ...layers, current }).element;
  const side = box(
    "em-side",
    createLegend(session),
    createChosen(session, feed, thumbs),
    createTrust(session),
  );
  const left = box("em-left", createStage(session, thumbs), createLapse(session, feed));
  shell.head.append(ribbon);
  shell.body.append(headline, createToolbar(session, feed), box("em-main", left, side));
  const choose = (): void => {
    ribbon.hidden = headline.hidden = session.points.choices !== "network";
  };
  session.on(["points"], choose);
  choose();
  shell.code(() => ({}));
  feed.start();
}

export default { render: (context: Context) => mount("embedding", context, build) };
