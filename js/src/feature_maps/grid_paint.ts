// Painting the tiles that are seen: maps, channel numbers, outlines.

import type { Theme } from "../lib/theme.ts";
import { paintRect, type Tile, type TilePainter } from "../lib/tiles.ts";
import { type GridLayout, tileAt } from "./layout.ts";
import type { Session } from "./session.ts";

export interface Sight {
  /** Tiles [first, last) are seen. */
  first: number;
  last: number;
  /** CSS pixels scrolled away above. */
  top: number;
  /** Device pixels to a CSS pixel. */
  pixels: number;
  active: number;
  hovered: number;
  focused: boolean;
}

interface Place {
  channel: number;
  x: number;
  y: number;
}

/** Paint all tiles in sight; what has not come yet is an empty frame. */
export function paintTiles(
  context: CanvasRenderingContext2D,
  session: Session,
  painter: TilePainter,
  layout: GridLayout,
  sight: Sight,
): void {
  const { maps, order, look, shell } = session;
  if (!maps) return;
  const snap = (x: number) => Math.round(x * sight.pixels);
  const [width, height] = [snap(layout.width), snap(layout.height)];
  const tiles: Tile[] = [];
  const places: Place[] = [];
  const empty = shell.theme.color("--nbc-sunk");
  for (let index = sight.first; index < sight.last; index++) {
    const channel = order[index] as number;
    const at = tileAt(layout, index);
    const [x, y] = [snap(at.x), snap(at.y - sight.top)];
    const map = maps.maps.get(channel);
    if (map) tiles.push({ map, x, y, width, height });
    else paintRect(context, empty, x, y, width, height);
    places.push({ channel, x, y });
  }
  painter.paint(context, tiles, maps.cells[1], maps.cells[0], look);
  paintLabels(context, session, places, layout, sight.pixels);
  paintOutlines(context, shell.theme, places, [width, height], sight);
}

/** The channel's number on every tile, with a word on maps that would puzzle. */
function paintLabels(
  context: CanvasRenderingContext2D,
  { maps }: Session,
  places: readonly Place[],
  layout: GridLayout,
  pixels: number,
): void {
  if (!maps) return;
  const size = layout.width < 48 ? 9 : 10;
  context.font = `${size * pixels}px system-ui, sans-serif`;
  context.textBaseline = "alphabetic";
  // Digits are equally wide in nearly all fonts: measured once, not 256 times.
  const digit = context.measureText("0").width;
  const high = (size + 3) * pixels;
  const bottom = Math.round(layout.height * pixels);
  for (const { channel, x, y } of places) {
    const remark = maps.remark(channel);
    const word = remark && layout.width >= 64;
    const label = word ? `${channel} ${remark}` : String(channel);
    const text = word ? context.measureText(label).width : label.length * digit;
    const wide = text + 5 * pixels;
    const back = remark === "NaN" ? "#a3123f" : "rgba(0, 0, 0, 0.6)";
    paintRect(context, back, x, y + bottom - high, wide, high);
    context.fillStyle = "#fff";
    context.fillText(label, x + 2.5 * pixels, y + bottom - 3 * pixels);
  }
}

function paintOutlines(
  context: CanvasRenderingContext2D,
  theme: Theme,
  places: readonly Place[],
  [width, height]: [number, number],
  sight: Sight,
): void {
  const frame = (index: number, colour: string, thick: number): void => {
    const place = places[index - sight.first];
    if (!place || index < sight.first) return;
    const line = Math.max(1, Math.round(thick * sight.pixels));
    const out = line / 2 + Math.round(sight.pixels * (thick > 1 ? 1 : 0));
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.strokeRect(place.x - out, place.y - out, width + 2 * out, height + 2 * out);
  };
  frame(sight.hovered, theme.color("--nbc-fg"), 1);
  frame(sight.active, theme.color(sight.focused ? "--nbc-accent" : "--nbc-edge"), 2);
}
