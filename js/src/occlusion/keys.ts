// The keyboard: all that the mouse can do.

import { on } from "../lib/dom.ts";
import { arrow, clamp, take } from "../lib/small.ts";
import type { Announcer } from "./announce.ts";
import type { Point } from "./brush.ts";
import type { Session, Tool } from "./session.ts";
import type { Stage } from "./stage.ts";

const LETTERS: Record<string, Tool> = { b: "brush", r: "rectangle", s: "stamp", e: "eraser" };
/** Where letters mean text or a choice. */
const TYPING =
  "select, input:not([type=radio], [type=checkbox], [type=range]), .nbc-panel, .nbc-panel *";

export const HELP: ReadonlyArray<readonly [keys: string, what: string]> = [
  ["drag", "paint with the tool; the stamp follows the mouse while it is pressed"],
  ["B R S E", "brush, rectangle, stamp, eraser"],
  ["+ −", "larger, smaller"],
  ["arrows", "move the brush on the picture; with Shift by one pixel"],
  ["Space, Enter", "paint; hold it and move to go on painting"],
  ["Escape", "take back the stroke that is under way"],
  ["U, Ctrl+Z", "undo"],
  ["Shift+Ctrl+Z", "redo"],
  ["I", "hide what is seen, show what is hidden"],
  ["Delete", "show the whole picture"],
  ["on the map", "arrows move, Enter or a click hides that square"],
];

export function listenToKeys(
  session: Session,
  stage: Pick<Stage, "canvas" | "hand" | "moveTo" | "cursor">,
  say: Announcer,
): void {
  const { shell, size } = session;
  const { canvas, hand } = stage;
  const { signal } = shell;
  /** The key that holds the tool down. */
  let held = "";
  on(canvas, "keydown", onStage, signal);
  on(canvas, "keyup", (event) => event.key === held && release(event.timeStamp), signal);
  on(canvas, "blur", () => held && release(performance.now()), signal);
  on(canvas, "focus", () => canvas.matches(":focus-visible") && stage.moveTo(place()), signal);
  on(shell.root, "keydown", anywhere, signal);

  function place(): Point {
    return stage.cursor() ?? { x: size[1] / 2, y: size[0] / 2 };
  }

  function release(at: number): void {
    held = "";
    hand.up(at);
  }

  function onStage(event: KeyboardEvent): void {
    const { key, ctrlKey, altKey, metaKey, shiftKey, repeat, timeStamp } = event;
    if (ctrlKey || altKey || metaKey) return;
    const way = arrow(event);
    if (way) {
      take(event);
      const step = shiftKey ? 1 : Math.max(1, Math.round(session.brushSize / 4));
      walk(way[1] * step, way[0] * step, timeStamp);
    } else if (key === " " || key === "Enter") {
      take(event);
      if (repeat || held) return;
      held = key;
      stage.moveTo(place());
      hand.down(dab(), timeStamp, session.tool, true);
    } else if (key === "Escape" && hand.isDown) {
      take(event);
      held = "";
      hand.cancel();
    }
  }

  function dab() {
    return { ...place(), radius: session.brushSize / 2 };
  }

  function walk(dx: number, dy: number, at: number): void {
    const { x, y } = place();
    stage.moveTo({ x: clamp(x + dx, 0, size[1] - 0.5), y: clamp(y + dy, 0, size[0] - 0.5) });
    if (held) hand.move([dab()], at);
    say(`row ${Math.floor(place().y)}, column ${Math.floor(place().x)}`);
  }

  /** Keys that work wherever one has just been, except where one types. */
  function anywhere(event: KeyboardEvent): void {
    const target = event.composedPath()[0] as Element;
    if (event.defaultPrevented || target.matches(TYPING) || !shell.body.contains(canvas)) return;
    const run = command(event);
    if (!run) return;
    take(event);
    run();
  }

  function command(event: KeyboardEvent): (() => void) | undefined {
    const { key, ctrlKey, altKey, metaKey, shiftKey } = event;
    const letter = key.toLowerCase();
    if (altKey) return undefined;
    if (ctrlKey || metaKey) {
      if (letter === "z") return () => session.travel(shiftKey ? "redo" : "undo");
      return letter === "y" ? () => session.travel("redo") : undefined;
    }
    const tool = LETTERS[letter];
    if (tool) return () => session.setTool(tool);
    if (key === "+" || key === "=") return () => session.resize(1);
    if (key === "-") return () => session.resize(-1);
    if (letter === "u") return () => session.travel("undo");
    if (letter === "i") return () => session.invert();
    return key === "Delete" ? () => session.clear() : undefined;
  }
}
