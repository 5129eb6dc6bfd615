// What is looked at: one channel, all maps or their means; which channel; the window on its way; and
// in figures what pooling does to the stack.

import { createColourBar } from "../lib/colour_bar.ts";
import { button, select, slider, toggle } from "../lib/controls.ts";
import { h, setProps, text } from "../lib/dom.ts";
import { box, clamp, span } from "../lib/small.ts";
import { lookOf, type Session, VIEWS } from "./session.ts";
import { SORTS, type Sort } from "./vector.ts";
import { FASTEST, type Walk } from "./walk.ts";
import { factsOf, grouped } from "./words.ts";

const FACTS = ["shapes", "arithmetic", "numbers", "edges"] as const;

export function createToolbar(session: Session, walk: Walk, vector: { sort: Sort }) {
  const { shell, channel } = session;
  const { signal } = shell;
  const press = (label: string, glyph: string, onClick: () => void) =>
    button({ label, glyph, onClick }, signal);
  const views = VIEWS.map((view) =>
    toggle({ label: view, value: false, onChange: () => session.set({ view }) }, signal),
  );
  const count = () => session.maps?.shape[0] ?? 1;
  const go = (to: number): void => channel.set(clamp(to, 0, count() - 1));
  /** To the next channel, or page of them. */
  const turn = (by: number): void =>
    go(channel.get() + by * (session.view === "all maps" ? session.page : 1));
  const channels = slider({ label: "channel", min: 0, max: 0, value: 0, onInput: go }, signal);
  const play = toggle({ label: "Play", glyph: "▶", value: false, onChange: walk.toggle }, signal);
  const speed = slider(
    {
      label: "speed",
      min: 0,
      max: FASTEST,
      value: 0,
      format: (power) => `${2 ** power}/s`,
      onInput: (power) => {
        walk.chosen = power;
      },
    },
    signal,
  );
  const switches = toggle(
    {
      label: "switches",
      title: "A dot on each cell that is the maximum of a window",
      value: false,
      onChange: (switches) => session.set({ switches }),
    },
    signal,
  );
  const sorts = select<Sort>(
    {
      label: "sort",
      options: SORTS,
      value: "index",
      onChange: (sort) => {
        vector.sort = sort;
        session.emit("tiles");
      },
    },
    signal,
  );
  const bar = createColourBar();
  const walking = box(
    "po-group po-walk",
    press("Step back", "◂", () => walk.step(-1)),
    play.el,
    press("Step forward", "▸", () => walk.step(1)),
    speed.el,
    switches.el,
  );
  const tools = box(
    "po-tools",
    box("po-group", ...views.map(({ el }) => el)),
    box(
      "po-group",
      channels.el,
      press("Back", "‹", () => turn(-1)),
      press("Next", "›", () => turn(1)),
    ),
    walking,
    box("po-sorts", sorts.el),
    span("nbc-spacer"),
    bar.element,
  );
  const told = FACTS.map((name) => h("span", { "data-role": name }));
  session.on(["shown", "tiles", "view", "walk"], show);
  return { element: box("po-head", tools, box("po-facts", ...told)) };

  function show(): void {
    const { view, how, maps, shown } = session;
    const one = view === "one channel";
    views.forEach((control, i) => {
      control.value = VIEWS[i] === view;
    });
    setProps(channels.input, { max: count() - 1 });
    channels.value = channel.get();
    setProps(shell.root, { "data-view": view.slice(0, 3) });
    speed.value = walk.power;
    play.value = walk.playing;
    setProps(switches.el, { disabled: !how.op.endsWith("max") });
    const { colours, range } = shown?.look ?? lookOf([], false);
    bar.show(colours, range);
    if (!maps || session.stale || session.problem) return;
    const { shape } = maps;
    const global = view === "vector" ? ({ ...how, op: "global_avg" } as const) : how;
    const facts = factsOf(shape, global);
    const won = session.switches && one ? shown?.result.indices : null;
    const dots =
      won && `${grouped(new Set(won).size)} of ${grouped(shape[1] * shape[2])} cells win`;
    if (dots) facts.edges = dots;
    for (const [i, el] of told.entries()) text(el, facts[FACTS[i] as keyof typeof facts]);
  }
}
