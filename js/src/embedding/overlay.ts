// What lies over the points: thumbnails when few are in sight, the names of classes, what is pointed
// at with its neighbours, the lasso on its way.

import { type Spot, seen, toScreen } from "./camera.ts";
import { pointSize } from "./painter.ts";
import { css, TEN } from "./palette.ts";
import { NONE } from "./points.ts";
import type { Session } from "./session.ts";
import { DIM } from "./states.ts";
import type { Thumbs } from "./thumbs.ts";

/** Fewer points in sight than this are shown as pictures, once one has come nearer. */
const FEW = 150;
const NEARER = 1.5;
const SIDE = 34;
/** So many names at most stand on the map. */
const NAMES = 40;
/** Found points are ringed as long as they are few. */
const RINGED = 500;

type Pen = CanvasRenderingContext2D;

export function createOverlay(session: Session, thumbs: Thumbs) {
  const { theme } = session.shell;
  /** Of each class of the column shown the middle of its points. */
  let middles: Array<{ code: number; spot: Spot; count: number }> | null = null;
  session.on(["places", "colours", "points"], () => {
    middles = null;
  });
  let pictured = false;
  return { paint };

  /** `outline`: of a lasso, in pixels. */
  function paint(pen: Pen, outline: readonly Spot[]): void {
    if (session.places) {
      paintPictures(pen);
      paintFound(pen);
      paintNames(pen);
      paintFocus(pen);
    }
    if (outline.length > 1) paintLasso(pen, outline);
  }

  function screen(i: number): Spot {
    const { xy } = session.places as { xy: Float32Array };
    const spot = { x: xy[2 * i] as number, y: xy[2 * i + 1] as number };
    return toScreen(spot, session.camera, session.frame);
  }

  function paintPictures(pen: Pen): void {
    const { camera, frame, grid, visible, ink, states } = session;
    pictured = false;
    if (!thumbs.any() || (camera.zoom < NEARER && session.points.count > FEW / 2)) return;
    const found = grid.within(seen(camera, frame), FEW, visible);
    if (found.length >= FEW) return;
    pictured = true;
    for (const i of found) {
      const picture = thumbs.get(session.number(i));
      if (!picture) continue;
      const { x, y } = screen(i);
      const [left, top] = [Math.round(x - SIDE / 2), Math.round(y - SIDE / 2)];
      pen.globalAlpha = states[i] === DIM ? 0.25 : 1;
      // The frame is of the colour of the point.
      pen.fillStyle = css(ink.colours[ink.codes[i] as number] ?? (TEN[0] as never));
      pen.beginPath();
      pen.roundRect(left - 2, top - 2, SIDE + 4, SIDE + 4, 3);
      pen.fill();
      pen.imageSmoothingEnabled = picture.width >= SIDE;
      pen.drawImage(picture, left, top, SIDE, SIDE);
    }
    pen.globalAlpha = 1;
  }

  function paintFound(pen: Pen): void {
    const { found, points } = session;
    if (!found) return;
    const here: number[] = [];
    for (let i = 0; i < points.count && here.length <= RINGED; i++) {
      if (found[session.number(i)] && session.visible(i)) here.push(i);
    }
    if (here.length <= RINGED) for (const i of here) ring(pen, i, theme.color("--nbc-fg"), 1);
  }

  /** Each class by its name, in the middle of its points; the largest ones where there are many. */
  function paintNames(pen: Pen): void {
    const { column, hidden, legend, frame } = session;
    if (!column?.codes || column.values.length < 2) return;
    middles ??= middlesOf(session);
    const [paper, fg] = [theme.color("--nbc-bg"), theme.color("--nbc-fg")];
    Object.assign(pen, { textAlign: "center", textBaseline: "middle", lineJoin: "round" });
    pen.font = `600 12px ${getComputedStyle(session.shell.root).fontFamily}`;
    const taken: Array<readonly [number, number, number]> = [];
    for (const { code, spot } of middles) {
      if (hidden.has(code)) continue;
      const { x, y } = toScreen(spot, session.camera, frame);
      const word = column.values[code] as string;
      const short = word.length > 24 ? `${word.slice(0, 23)}…` : word;
      const half = pen.measureText(short).width / 2 + 4;
      const outside = x < 0 || y < 0 || x > frame.width || y > frame.height;
      // A name that would lie on another one is left out: it is that of a smaller class.
      const crowded = taken.some(([u, v, w]) => Math.abs(u - x) < w + half && Math.abs(v - y) < 15);
      if (outside || crowded) continue;
      taken.push([x, y, half]);
      pen.globalAlpha = legend >= 0 && legend !== code ? 0.25 : 1;
      pen.lineWidth = 4;
      pen.strokeStyle = paper;
      pen.strokeText(short, x, y);
      pen.fillStyle = fg;
      pen.fillText(short, x, y);
    }
    pen.globalAlpha = 1;
  }

  function paintFocus(pen: Pen): void {
    const { focus, near, pinned } = session;
    const [fg, accent] = [theme.color("--nbc-fg"), theme.color("--nbc-accent")];
    if (focus >= 0 && near?.index === session.number(focus)) {
      const from = screen(focus);
      const here = near.indices.map(session.placeOf).filter((i) => i >= 0 && session.visible(i));
      pen.strokeStyle = accent;
      pen.lineWidth = 1.5;
      pen.globalAlpha = 0.7;
      pen.beginPath();
      for (const i of here) {
        const to = screen(i);
        if (Number.isNaN(to.x)) continue;
        pen.moveTo(from.x, from.y);
        pen.lineTo(to.x, to.y);
      }
      pen.stroke();
      pen.globalAlpha = 1;
      for (const i of here) ring(pen, i, accent, 0);
    }
    if (pinned >= 0) ring(pen, pinned, fg, 5);
    if (focus >= 0) ring(pen, focus, fg, 2);
  }

  function ring(pen: Pen, i: number, colour: string, more: number): void {
    const { x, y } = screen(i);
    if (Number.isNaN(x)) return;
    const { points, camera } = session;
    const radius = more + (pictured ? 0.8 * SIDE : pointSize(points.count, camera.zoom) / 2 + 2);
    for (const [wide, paint] of [
      [4, theme.color("--nbc-bg")],
      [2, colour],
    ] as const) {
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.lineWidth = wide;
      pen.strokeStyle = paint;
      pen.stroke();
    }
  }

  function paintLasso(pen: Pen, outline: readonly Spot[]): void {
    const accent = theme.color("--nbc-accent");
    pen.beginPath();
    for (const { x, y } of outline) pen.lineTo(x, y);
    pen.closePath();
    pen.globalAlpha = 0.14;
    pen.fillStyle = accent;
    pen.fill();
    pen.globalAlpha = 1;
    pen.lineWidth = 1.5;
    pen.strokeStyle = accent;
    pen.setLineDash([5, 3]);
    pen.stroke();
    pen.setLineDash([]);
  }
}

/** Medians, the largest classes first. */
function middlesOf({ column, places, points }: Session) {
  const groups = new Map<number, number[]>();
  const xy = places?.xy ?? new Float32Array();
  for (let i = 0; i < points.count; i++) {
    const code = column?.codes?.[i] as number;
    if (code === NONE || Number.isNaN(xy[2 * i])) continue;
    const group = groups.get(code);
    if (group) group.push(i);
    else groups.set(code, [i]);
  }
  const median = (group: number[], k: number): number => {
    const values = Float32Array.from(group, (i) => xy[2 * i + k] as number).sort();
    return values[values.length >> 1] as number;
  };
  return [...groups]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, NAMES)
    .map(([code, group]) => ({
      code,
      count: group.length,
      spot: { x: median(group, 0), y: median(group, 1) },
    }));
}
