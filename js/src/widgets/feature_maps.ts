// FeatureMaps: what every layer of a network sees. Wiring only; the parts are in ../feature_maps.

import { createDetail } from "../feature_maps/detail.ts";
import { createGrid } from "../feature_maps/grid.ts";
import { sayHover } from "../feature_maps/pointing.ts";
import { createSession } from "../feature_maps/session.ts";
import { createSide } from "../feature_maps/side.ts";
import { createStage } from "../feature_maps/stage.ts";
import { createToolbar } from "../feature_maps/toolbar.ts";
import { h } from "../lib/dom.ts";
import { plural } from "../lib/format.ts";
import { createHeadline } from "../lib/layers/headline.ts";
import { createRibbon } from "../lib/layers/ribbon.ts";
import { type Context, mount, type Shell } from "../lib/view.ts";
// After the sheets of lib, so that it may change what they say.
import "../feature_maps/feature_maps.css";

function build(shell: Shell): void {
  const session = createSession(shell);
  const ribbon = createRibbon(session.layerChoice);
  const grid = createGrid(session);
  const detail = createDetail(session);
  const tools = createToolbar(session, grid, detail);
  const stage = createStage(session, tools.element, grid, detail);
  shell.head.append(ribbon.element);
  const main = h("div", { class: "fm-main" }, createSide(session).element, stage.element);
  shell.body.append(createHeadline(session.layerChoice).element, main);
  session.on(["hover"], () => shell.status(sayHover(session)));
  session.on(["maps", "stale"], () => {
    const { maps, refusal } = session;
    const dead = maps?.deadCount ? `, ${maps.deadCount} dead` : "";
    const facts = maps && !refusal ? `${plural(maps.shape[0], "channel")}${dead}` : "";
    shell.status(undefined, facts);
  });
  shell.code(() => ({
    layer: session.layer.get(),
    image: session.image.get(),
    channel: session.channel.get(),
  }));
  session.start();
}

export default { render: (context: Context) => mount("feature_maps", context, build) };
