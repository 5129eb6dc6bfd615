// StyleTransfer: the content of one image painted in the style of another. Wiring only; the parts
// are in ../dream.

import { createApart } from "../dream/apart.ts";
import { createGram } from "../dream/gram.ts";
import { layOut } from "../dream/page.ts";
import { createBalance, createSources, createStyleLayers } from "../dream/painting.ts";
import { createSession } from "../dream/session.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
// After the sheets of lib, so that it may change what they say.
import "../dream/dream.css";

function build(shell: Shell): void {
  const layer = shell.trait<string>("content_layer");
  const session = createSession(shell, { measure: "loss", falls: true, part: "scale", layer });
  layOut(session, {
    before: true,
    side: [createSources(session), createBalance(session), createStyleLayers(session)],
    below: [createGram(session), createApart(session)],
  });
}

export default { render: (context: Context) => mount("style_transfer", context, build) };
