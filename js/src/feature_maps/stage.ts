// The place of the maps: the grid, or one channel large; dimmed while other maps are on their way.

import { atEnd, h, on, setProps, text } from "../lib/dom.ts";
import { box, focused, take } from "../lib/small.ts";
import type { Detail } from "./detail.ts";
import type { Grid } from "./grid.ts";
import type { Session } from "./session.ts";

/** Quick answers do not flicker. */
const DIM_MS = 150;

export function createStage(session: Session, tools: HTMLElement, grid: Grid, detail: Detail) {
  const note = h("p", { class: "fm-note", "data-role": "note", hidden: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last: number | null = null;

  const area = box("fm-stage", grid.element, detail.element, note);
  const element = box("fm-right", tools, area);
  on(element, "keydown", back, session.shell.signal);
  session.on(["channel"], swap);
  session.on(["stale", "order", "maps"], follow);
  atEnd(session.shell.signal, () => clearTimeout(timer));

  /** Grid or channel. The focus goes along when it was here: Python may have opened the channel. */
  function swap(): void {
    const open = session.channel.get();
    const active = focused(element);
    const inside = active !== null && element.contains(active);
    const { hidden } = grid.element;
    grid.element.hidden = open !== null;
    setProps(grid.canvas, { "data-role": open === null ? "stage" : null });
    detail.element.hidden = open === null;
    if (open === null) session.point(null);
    if (hidden && open === null && last !== null) grid.activate(last);
    if (inside && hidden !== grid.element.hidden) {
      (open === null ? grid : detail).element.focus({ preventScroll: true });
    }
    last = open;
    session.shell.redraw();
  }

  /** From the channel, or from the controls above it, back to the grid. */
  function back(event: KeyboardEvent): void {
    if (event.key !== "Escape" || session.channel.get() === null) return;
    take(event);
    session.channel.set(null);
  }

  function follow(): void {
    const { stale, refusal, maps, order } = session;
    clearTimeout(timer);
    if (!stale) delete area.dataset.stale;
    else timer = setTimeout(() => area.toggleAttribute("data-stale", true), maps ? DIM_MS : 0);
    const lost = stale && (refusal !== null || session.shell.channel.state.offline !== null);
    const empty = !stale && order.length === 0;
    note.hidden = !lost && !empty;
    area.toggleAttribute("data-lost", lost);
    if (lost) text(note, refusal ?? `The maps of ${session.layer.get()} were not saved.`);
    else if (empty) text(note, "All channels of this layer are dead.");
  }

  return { element };
}
