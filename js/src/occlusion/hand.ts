// What holds a tool: the mouse, a pen, a finger or the keyboard, each from down to up.

import type { Box } from "../lib/picture.ts";
import { around, centred, type Dab, type Point, paintBox, paintStroke, spanned } from "./brush.ts";
import type { Session, Tool } from "./session.ts";

export type Hand = ReturnType<typeof createHand>;

export function createHand(session: Session) {
  const { history } = session;
  const { mask } = history;
  /** What is done since it came down; null: it is up. */
  let stroke: { tool: Tool; last: Dab; patch: Box; drawn: Box | null; keys: boolean } | null = null;
  session.on(["cut"], () => up(performance.now()));
  return {
    down,
    move,
    up,
    cancel,
    get isDown(): boolean {
      return stroke !== null;
    },
  };

  /** `keys`: a rectangle begins as a patch, because the keyboard has no fine points. */
  function down(dab: Dab, at: number, tool = session.tool, keys = false): void {
    up(at);
    history.begin();
    stroke = { tool, last: dab, patch: cell(dab, keys), drawn: null, keys };
    if (tool !== "rectangle" || keys) move([dab], at);
  }

  /** On along these places, the last of which is where it is now. */
  function move(dabs: readonly Dab[], at: number): void {
    const now = dabs.at(-1);
    if (!stroke || !now) return;
    const { tool, last, patch, keys } = stroke;
    if (tool === "stamp") lay(centred(now, session.patch), at);
    else if (tool === "rectangle") lay(around(patch, cell(now, keys)) as Box, at);
    else {
      const brush = { hardness: session.hardness, erase: tool === "eraser" };
      let [from, box] = [last, null as Box | null];
      for (const to of dabs) {
        box = around(box, paintStroke(mask, from, to, brush));
        from = to;
      }
      session.painted(box, at);
    }
    stroke.last = now;
  }

  /** Hide a box in place of the one that this stroke has hidden so far. */
  function lay(box: Box, at: number): void {
    if (!stroke) return;
    history.restore();
    const drawn = paintBox(mask, box);
    session.painted(around(drawn, stroke.drawn), at);
    stroke.drawn = drawn;
  }

  function up(at: number): void {
    if (!stroke) return;
    stroke = null;
    session.finished(at);
  }

  /** Take back what this stroke has done. */
  function cancel(): void {
    if (!stroke) return;
    history.restore();
    session.painted({ top: 0, left: 0, bottom: mask.height, right: mask.width }, performance.now());
    up(performance.now());
  }

  function cell(point: Point, keys: boolean): Box {
    const side = session.brushSize;
    return keys ? centred(point, [side, side]) : spanned(point, point);
  }
}
