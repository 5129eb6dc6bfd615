// The methods side by side over one picture, with one cursor.

import { fill, h, on, text } from "../lib/dom.ts";
import { box, take } from "../lib/small.ts";
import { moved } from "./keys.ts";
import type { Pixel, Session } from "./session.ts";
import { createTile, type Tile } from "./tile.ts";

export function createStage(session: Session) {
  const { shell } = session;
  const tiles = new Map<string, Tile>();
  let dirty = false;
  const grid = box("at-grid");
  // For who listens; the status line changes too often.
  const spoken = h("div", { class: "nbc-hidden", "aria-live": "polite", "data-role": "spoken" });
  const element = h("section", { "aria-label": "attributions" }, grid, spoken);
  session.on(["question"], build);
  session.on(["results"], () => each((tile) => tile.show()));
  // A slider may move several times a frame.
  session.on(["look", "mask", "picture"], () => {
    dirty = true;
    shell.redraw();
  });
  shell.onDraw(() => {
    each((tile) => tile.paint(dirty));
    dirty = false;
  });
  session.on(["cursor"], () => {
    shell.status(sayHere());
  });
  return { element };

  function shown(): Tile[] {
    return session.methods.get().map((name) => tiles.get(name) ?? add(name));
  }

  function each(fn: (tile: Tile) => void): void {
    for (const tile of shown()) fn(tile);
  }

  /** The methods in their order; tiles stay, also those that are not shown now. */
  function build(): void {
    const all = shown();
    for (const [i, tile] of all.entries()) tile.role(i === 0);
    const now = all.map(({ element }) => element);
    const same =
      now.length === grid.children.length && now.every((el, i) => el === grid.children[i]);
    if (!same) fill(grid, ...now);
    grid.dataset.count = String(all.length);
    for (const tile of all) tile.show();
  }

  function add(name: string): Tile {
    const tile = createTile(session, name, shell.signal);
    const { canvas, picture } = tile;
    tiles.set(name, tile);
    on(canvas, "blur", () => session.point(null), shell.signal);
    const focus = () => canvas.matches(":focus-visible") && session.point(middle());
    on(canvas, "focus", focus, shell.signal);
    on(canvas, "click", (event) => choose(session.pixel(picture.place(event))), shell.signal);
    on(canvas, "keydown", key, shell.signal);
    return tile;
  }

  function middle(): Pixel {
    const [height, width] = session.size;
    return session.cursor ?? { y: height >> 1, x: width >> 1 };
  }

  /** With a unit: the one there instead. */
  function choose(at: Pixel | null): void {
    if (!at || !session.unit.get()) return;
    const [height, width] = session.size;
    session.place({ u: (at.x + 0.5) / width, v: (at.y + 0.5) / height });
  }

  function key(event: KeyboardEvent): void {
    const { size } = session;
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.min(...size) / 28));
    const to = moved(event, middle(), size, step);
    if (to) {
      session.point(to);
      text(spoken, sayHere());
    } else if (event.key === "Enter" || event.key === " ") {
      take(event);
      choose(session.cursor);
    }
  }

  function sayHere(): string {
    const { cursor } = session;
    const values = shown().map((tile) => tile.point());
    return cursor ? [`(${cursor.y}, ${cursor.x})`, ...values.filter(Boolean)].join(" · ") : "";
  }
}
