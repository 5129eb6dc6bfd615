// One channel: the map before at the left, pooled at the right, and what is lit on both.

import { paintRect } from "../lib/tiles.ts";
import { cellAt, LABEL, layoutPair, type PairLayout } from "./layout.ts";
import { draw, inkOn, outline, READABLE, ring, valueCanvas, write } from "./paint.ts";
import type { Lit, Session, Shown } from "./session.ts";
import { isGlobal, type Pair } from "./settings.ts";
import type { Part } from "./stage.ts";
import type { Walk } from "./walk.ts";
import { type Explained, explain, fitted } from "./words.ts";

type Context = CanvasRenderingContext2D;

/** A lens this wide, in cells of at most this size; windows beyond so many cells are as clear
 * on the map. */
export const LENS = 208;
const LARGEST = 52;
const MOST = 26;

export function createOne(session: Session, walk: Walk): Part {
  const { theme } = session.shell;
  let layout: PairLayout = layoutPair([1, 1], [1, 1], [0, 0], 1, 1);
  /** Painted once, until other values come. */
  let kept: { shown: Shown; image: HTMLCanvasElement } | null = null;
  return { measure, paint, lens, point, click, move: walk.move, label, explained };

  function measure(width: number): number {
    const { shown } = session;
    if (!shown) return 0;
    const { result, size } = shown;
    const out: Pair = [result.height, result.width];
    layout = layoutPair(size, out, padding(shown), width, devicePixelRatio);
    return layout.height;
  }

  function padding({ how }: Shown): Pair {
    return isGlobal(how) ? [0, 0] : how.padding;
  }

  /** What the padding holds. */
  function beyond(): string {
    return session.how.op.endsWith("max") ? "−∞" : "0";
  }

  function label(): string {
    return `channel ${session.channel.get()}`;
  }

  function point(x: number, y: number): number {
    if (session.retired || walk.playing) return -1;
    const { cell } = layout;
    const after = cellAt(layout.after, cell, x, y);
    const before = cellAt(layout.before, cell, x, y);
    const found = after ?? before;
    const of = after ? "after" : "before";
    session.light(found ? { of, ...found } : session.pinned);
    return -1;
  }

  /** A click keeps a value lit; another click on it lets it go. */
  function click(): void {
    const { lit, pinned } = session;
    if (lit?.of === "after") session.pin(lit === pinned ? null : lit);
  }

  function explained(): Explained | null {
    const { shown, lit } = session;
    const field = lit && layout[lit.of];
    const there = field && lit.y < field.rows && lit.x < field.columns;
    return shown && there && !session.retired ? explain(shown, lit) : null;
  }

  function paint(context: Context): void {
    const { shown, filling } = session;
    if (!shown) return;
    const { result, map, size, look } = shown;
    const { cell, before, after } = layout;
    const end = filling ? (walk.place ?? 0) + 1 : result.values.length;
    if (kept?.shown !== shown) kept = { shown, image: valueCanvas(map, size[1], look) };
    const pooled = valueCanvas(result.values, result.width, look, end);
    const [rows, columns] = padding(shown);
    const [ink, line] = theme.colors("muted", "line");
    for (const [word, field, image, values, above, beside, upTo] of [
      ["before", before, kept.image, map, rows, columns, map.length],
      ["after", after, pooled, result.values, 0, 0, end],
    ] as const) {
      const [left, top] = [field.x - beside * cell, field.y - above * cell];
      const [high, wide] = [field.rows + 2 * above, field.columns + 2 * beside];
      const words = `${word} ${field.rows} x ${field.columns}`;
      // Above a small map at the edge there is no room to its right.
      if (left + 80 < context.canvas.clientWidth) write(context, words, left, LABEL / 2, ink);
      else write(context, words, left + wide * cell, LABEL / 2, ink, 12, "end");
      paintRect(context, line, left, top, wide * cell, high * cell);
      draw(context, image, field.x, field.y, field.columns * cell, field.rows * cell);
      if (cell < READABLE) continue;
      const list = (length: number, first: number) => Array.from({ length }, (_, i) => i - first);
      const known = values.subarray(0, upTo);
      cells(
        context,
        left,
        top,
        cell,
        list(high, above),
        list(wide, beside),
        known,
        field.columns,
        field === before ? beyond() : "",
      );
    }
    if (session.switches) paintSwitches(context, shown, end);
    const found = explained();
    if (found && session.lit) paintLit(context, session.lit, found);
  }

  /** Values in their cells, as exact as there is room; those beyond the map are of its padding. */
  function cells(
    context: Context,
    left: number,
    top: number,
    cell: number,
    rows: readonly number[],
    columns: readonly number[],
    values: Float32Array,
    width: number,
    beyond: string,
    filled = false,
  ): void {
    const { colour } = (session.shown as Shown).look;
    const font = Math.min(13, Math.max(9, cell / 3.4));
    const room = cell < READABLE ? 0 : Math.floor((cell - 3) / (font * 0.56));
    rows.forEach((row, i) => {
      columns.forEach((column, j) => {
        const value = column >= 0 && column < width ? values[row * width + column] : undefined;
        const known = value !== undefined;
        const [x, y] = [left + j * cell, top + i * cell];
        const packed = colour(value ?? 0);
        const back = `rgb(${packed & 255} ${(packed >> 8) & 255} ${(packed >> 16) & 255})`;
        if (known && filled) paintRect(context, back, x, y, cell + 0.3, cell + 0.3);
        const ink = known ? inkOn(packed) : theme.color("--nbc-muted");
        const words = known ? fitted(value, room) : room ? beyond : "";
        write(context, words, x + cell / 2, y + cell / 2 + 1, ink, font, "center");
      });
    });
  }

  /** A dot on each cell that some window chose. */
  function paintSwitches(context: Context, { result, map, size, look }: Shown, end: number): void {
    const { before, cell } = layout;
    const side = Math.min(10, Math.max(2, Math.round(cell * 0.3)));
    for (const place of result.indices?.subarray(0, end) ?? []) {
      const row = Math.floor(place / size[1]);
      const x = before.x + (place - row * size[1] + 0.5) * cell;
      const y = before.y + (row + 0.5) * cell;
      context.fillStyle = inkOn(look.colour(map[place] as number));
      context.beginPath();
      context.arc(x, y, side / 2, 0, 7);
      context.fill();
    }
  }

  /** The lit window, its way to the value it makes, and the maximum in it. */
  function paintLit(context: Context, lit: Lit, { window, maximum, outputs }: Explained): void {
    const { before, after, cell } = layout;
    const [accent, halo] = theme.colors("accent", "bg");
    const frame = (field: typeof before, y: number, x: number, high = 1, wide = 1): void =>
      outline(
        context,
        field.x + x * cell,
        field.y + y * cell,
        wide * cell,
        high * cell,
        accent,
        halo,
      );
    if (lit.of === "after" && window) {
      const [top, left, high, wide] = window.box;
      const [x, y] = [before.x + left * cell, before.y + top * cell];
      // All of the map but the window's cells steps back a little.
      context.beginPath();
      context.rect(before.x, before.y, before.columns * cell, before.rows * cell);
      for (const row of window.rows) {
        for (const column of window.columns) {
          context.rect(before.x + column * cell, before.y + row * cell, cell, cell);
        }
      }
      context.globalAlpha = 0.3;
      context.fillStyle = halo;
      context.fill("evenodd");
      // A beam from the window to its value.
      context.beginPath();
      context.moveTo(x + wide * cell, y);
      context.lineTo(after.x + lit.x * cell, after.y + lit.y * cell);
      context.lineTo(after.x + lit.x * cell, after.y + (lit.y + 1) * cell);
      context.lineTo(x + wide * cell, y + high * cell);
      context.closePath();
      context.fillStyle = context.strokeStyle = accent;
      context.globalAlpha = 0.2;
      context.fill();
      context.globalAlpha = 0.7;
      context.lineWidth = 1;
      context.stroke();
      context.globalAlpha = 1;
      frame(before, top, left, high, wide);
    }
    frame(layout[lit.of], lit.y, lit.x);
    for (const { y, x } of outputs ?? []) frame(after, y, x);
    if (maximum && cell >= 3) {
      ring(context, before.x + maximum.x * cell, before.y + maximum.y * cell, cell);
    }
  }

  /** The window enlarged, with its values; false where there is nothing to enlarge. */
  function lens(context: Context): boolean {
    const { shown } = session;
    const found = explained();
    const { rows = [], columns = [] } = found?.window ?? {};
    const most = Math.max(rows.length, columns.length);
    if (!shown || layout.cell >= READABLE) return false;
    if (most > MOST) return true;
    const cell = Math.min(LARGEST, (LENS - 4) / most);
    paintRect(context, theme.color("--nbc-line"), 2, 2, columns.length * cell, rows.length * cell);
    cells(context, 2, 2, cell, rows, columns, shown.map, shown.size[1], beyond(), true);
    const { maximum } = found ?? {};
    if (maximum) {
      const [i, j] = [rows.indexOf(maximum.y), columns.indexOf(maximum.x)];
      ring(context, 2 + j * cell, 2 + i * cell, cell);
    }
    return true;
  }
}
