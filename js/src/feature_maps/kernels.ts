// The weights of one filter of a convolution as pictures: in colour when it looks at RGB, else one
// tile per input channel, the strongest first.

import { resolve, table } from "../lib/colormap.ts";
import { h, text } from "../lib/dom.ts";
import { plural, shape, three } from "../lib/format.ts";
import { rgbCanvas } from "../lib/picture.ts";
import {
  createTilePainter,
  type QuantisedMap,
  quantise,
  surface,
  type Tile,
} from "../lib/tiles.ts";
import type { Shell } from "../lib/view.ts";
import type { FullMap } from "./layer_maps.ts";
import { layoutGrid, tileAt } from "./layout.ts";
import { box } from "./small.ts";

/** Weights (3, h, w) as RGB bytes, stretched so that the smallest is 0 and the largest 255. */
export function kernelRgb(weights: Float32Array, height: number, width: number): Uint8Array {
  const { lo, hi } = quantise(weights);
  const scale = hi > lo ? 255 / (hi - lo) : 0;
  const out = new Uint8Array(height * width * 3);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < height * width; i++) {
      const value = weights[channel * height * width + i] as number;
      out[3 * i + channel] = Number.isFinite(value) ? Math.round((value - lo) * scale) : 0;
    }
  }
  return out;
}

/** Largest finite magnitude. */
function strength(weights: Float32Array): number {
  const { lo, hi } = quantise(weights);
  return Math.max(Math.abs(lo), Math.abs(hi));
}

const LABEL = 12;

export function createKernels(shell: Shell) {
  const title = h("h4", { class: "nbc-title" });
  const canvas = h("canvas", { role: "img", "data-role": "kernels" });
  const rgb = box("fm-kernel-rgb");
  const painter = createTilePainter();
  let maps: QuantisedMap[] = [];
  let inputs: Int32Array | null = null;
  let cells: [number, number] = [1, 1];
  let most = 0;
  let tableName = "RdBu_r";

  const scroll = h("div", { class: "fm-kernel-scroll", tabindex: 0 }, canvas);
  const element = h("section", null, title, box("fm-weights", rgb, scroll));
  shell.onDraw(paint);
  shell.signal.addEventListener("abort", () => painter.clear());

  /** Show the weights that came with a channel; null while they have not come. */
  function show(full: FullMap | null, colormap: string): void {
    const weights = full?.weights ?? null;
    element.hidden = weights === null;
    maps = [];
    if (!weights || !full) return;
    const [count = 1, height = 1, width = 1] = weights.shape;
    const size = height * width;
    most = strength(weights.data);
    cells = [height, width];
    inputs = full.inputs;
    maps = Array.from({ length: count }, (_, i) =>
      quantise(weights.data.subarray(i * size, (i + 1) * size)),
    );
    const inColour = full.kind === "rgb" && count === 3;
    const how = inColour ? "" : " · strongest first";
    text(title, `weights ${shape(weights.shape)}${how} · ± ${three(most)}`);
    rgb.hidden = !inColour;
    if (inColour) {
      const picture = rgbCanvas(kernelRgb(weights.data, height, width), width, height);
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", "the filter as an RGB picture");
      rgb.replaceChildren(picture);
    }
    const label = `${plural(count, "kernel")} of ${height} x ${width}`;
    canvas.setAttribute("aria-label", label);
    scroll.setAttribute("aria-label", label);
    scroll.setAttribute("role", "group");
    tableName = resolve(colormap, true);
    shell.redraw();
  }

  function paint(): void {
    const width = scroll.clientWidth;
    if (maps.length === 0) return;
    const pixels = devicePixelRatio;
    const [rows, columns] = cells;
    const side = rows === 1 && columns === 1 ? 28 : 40;
    const grid = layoutGrid(maps.length, [rows, columns], side, width, 4, 0);
    // A label below each tile: a kernel has too few cells to write on.
    const pitch = grid.height + LABEL + 4;
    const total = grid.rows * pitch;
    canvas.style.height = `${total}px`;
    const context = surface(canvas, width, total, true);
    if (!context) return;
    const snap = (x: number) => Math.round(x * pixels);
    const places = maps.map((_, i) => ({
      x: snap(tileAt(grid, i).x),
      y: snap(Math.floor(i / grid.columns) * pitch),
    }));
    const tiles: Tile[] = maps.map((map, i) => ({
      map,
      ...(places[i] as { x: number; y: number }),
      width: snap(grid.width),
      height: snap(grid.height),
    }));
    const range: [number, number] = [-most, most];
    const look = { colours: table(tableName), range: () => range };
    painter.paint(context, tiles, columns, rows, look);
    context.font = `${10 * pixels}px system-ui, sans-serif`;
    context.fillStyle = shell.theme.color("--nbc-muted");
    context.textBaseline = "top";
    places.forEach(({ x, y }, i) => {
      context.fillText(name(i), x, y + snap(grid.height + 1));
    });
  }

  /** Which input channel a kernel looks at. */
  function name(i: number): string {
    if (inputs) return String(inputs[i] ?? "");
    return maps.length === 3 ? (["R", "G", "B"][i] as string) : String(i);
  }
  return { element, show };
}
