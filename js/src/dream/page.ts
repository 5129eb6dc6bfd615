// How the three widgets are laid out: ribbon, layer, then the picture with its settings beside it
// and the run below.

import type { Child } from "../lib/dom.ts";
import { createHeadline } from "../lib/layers/headline.ts";
import { createRibbon } from "../lib/layers/ribbon.ts";
import { box } from "../lib/small.ts";
import { offerPicture } from "./save.ts";
import type { Session } from "./session.ts";
import { createStage, type StageProps } from "./stage.ts";
import { createTimeline } from "./timeline.ts";

export interface PageProps extends StageProps {
  /** Beside the picture. */
  side: Child[];
  /** Small pictures of layers, beside the picture too where there is room. */
  layers?: Child;
  /** Under everything. */
  below?: Child[];
}

export function layOut(
  session: Session,
  { side, layers: small, below = [], ...stage }: PageProps,
): void {
  const { shell, layers } = session;
  shell.head.append(createRibbon(layers).element);
  shell.body.append(
    createHeadline(layers).element,
    box(
      "dr-main",
      createStage(session, stage),
      createTimeline(session),
      box("dr-side", ...side),
      small,
    ),
    box("dr-below", ...below),
  );
  offerPicture(session);
  shell.code(() => ({}));
  session.begin();
  session.emit("lock");
}
