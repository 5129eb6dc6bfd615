// The architecture as a ribbon: a block for every layer, as high as its maps are large and as thick
// as it has channels. A slider for the keyboard: arrows go from layer to layer.

import { h, on, setProps } from "../dom.ts";
import { box, clamp, stride, take } from "../small.ts";
import { paintRect, surface } from "../tiles.ts";
import {
  chosen,
  colourKind,
  describeLayer,
  KINDS,
  type LayerChoice,
  type LayerRow,
} from "./layer.ts";
import { type Block, blockAt, layoutRibbon, type RibbonLayout, THINNEST } from "./ribbon_layout.ts";

const BLOCKS = 36;
/** Room above for the outline, below for the doctor's marks. */
const TOP = 4;
const MARKS = 8;
const HEIGHT = TOP + BLOCKS + MARKS;
const SIDE = 4;

export function createRibbon(choice: LayerChoice) {
  const canvas = h("canvas");
  const tip = h("div", { class: "nbc-tip", "aria-hidden": "true", hidden: true });
  let leaves: LayerRow[] = [];
  let layout: RibbonLayout = { blocks: [], width: 0 };
  let hovered = -1;

  const scroll = h(
    "div",
    {
      class: "nbc-ribbon-scroll",
      role: "slider",
      tabindex: 0,
      "aria-label": "Layer of the network",
      "data-role": "ribbon",
    },
    canvas,
  );
  const element = box("nbc-ribbon", scroll, tip);
  const { shell, layers, current, usable } = choice;
  const { signal, theme } = shell;
  choice.onLayers(read);
  current.on(follow);
  read();
  shell.onResize(measure);
  shell.onDraw(paint);
  on(scroll, "keydown", key, signal);
  on(scroll, "click", click, signal);
  on(scroll, "pointermove", (event) => point(find(event)), signal);
  on(scroll, "pointerleave", () => point(-1), signal);

  function read(): void {
    leaves = layers().filter((row) => row.leaf);
    measure();
  }

  function measure(): void {
    const width = element.clientWidth;
    if (width === 0) return;
    const shapes = leaves.map((row) => row.shape);
    layout = layoutRibbon(shapes, width - 2 * SIDE, BLOCKS);
    follow();
  }

  /** First and last block of the chosen layer: one, or all those inside a chosen block. */
  function range(): [number, number] | null {
    const name = current.get();
    const exact = leaves.findIndex((row) => row.name === name);
    if (exact >= 0) return [exact, exact];
    const inside = (row: LayerRow) =>
      row.name.startsWith(`${name}.`) || row.name.startsWith(`${name}/`);
    const first = leaves.findIndex(inside);
    return first < 0 ? null : [first, leaves.findLastIndex(inside)];
  }

  function follow(): void {
    const ends = range();
    const row = chosen(choice);
    setProps(scroll, {
      "aria-valuemin": 1,
      "aria-valuemax": Math.max(1, leaves.length),
      "aria-valuenow": ends ? ends[1] + 1 : 1,
      "aria-valuetext": row ? describeLayer(row) : "no layer chosen",
    });
    const block = ends && layout.blocks[ends[1]];
    const { scrollLeft, clientWidth } = scroll;
    const seen = block && block.x > scrollLeft && block.x < scrollLeft + clientWidth - THINNEST;
    if (block && !seen) scroll.scrollLeft = block.x - clientWidth / 2;
    shell.redraw();
  }

  function find(event: MouseEvent): number {
    const x = event.clientX - canvas.getBoundingClientRect().left - SIDE;
    if (x < -SIDE || x > layout.width + SIDE) return -1;
    return blockAt(layout, x);
  }

  function click(event: MouseEvent): void {
    const row = leaves[find(event)];
    if (row && usable(row)) current.set(row.name);
  }

  function key(event: KeyboardEvent): void {
    const by = stride(event);
    if (by === 0) return;
    take(event);
    const [first, last] = range() ?? [0, 0];
    const from = clamp(by > 0 ? last + by : first + by, 0, leaves.length - 1);
    // Layers that cannot be chosen are stepped over; from either end, inwards.
    const step = Math.abs(by) > leaves.length ? -Math.sign(by) : Math.sign(by);
    for (let i = from; leaves[i]; i += step) {
      if (!usable(leaves[i] as LayerRow)) continue;
      current.set((leaves[i] as LayerRow).name);
      return;
    }
  }

  function point(index: number): void {
    if (index === hovered) return;
    hovered = index;
    const row = leaves[index];
    const block = layout.blocks[index];
    tip.hidden = !row;
    scroll.style.cursor = row && usable(row) ? "pointer" : "default";
    if (row && block) {
      tip.textContent = describeLayer(row);
      const middle = block.x + SIDE + block.width / 2 - scroll.scrollLeft;
      const room = element.clientWidth - tip.offsetWidth;
      const left = clamp(middle - tip.offsetWidth / 2, 0, Math.max(0, room));
      tip.style.transform = `translateX(${Math.round(left)}px)`;
    }
    shell.redraw();
  }

  function paint(): void {
    const width = Math.max(scroll.clientWidth, layout.width + 2 * SIDE);
    const context = surface(canvas, width, HEIGHT);
    if (!context) return;
    canvas.style.width = `${width}px`;
    const colours = new Map(KINDS.map((kind) => [kind as string, theme.color(`--nbc-${kind}`)]));
    context.translate(SIDE, 0);
    const [first, last] = range() ?? [-1, -1];
    layout.blocks.forEach((block, i) => {
      const row = leaves[i] as LayerRow;
      const strong = (i >= first && i <= last) || i === hovered;
      context.globalAlpha = strong ? 1 : usable(row) ? 0.85 : 0.45;
      const { x, width, height } = block;
      const colour = colours.get(colourKind(row.kind)) ?? "";
      paintRect(context, colour, x, TOP + (BLOCKS - height) / 2, width, height);
      context.globalAlpha = 1;
      paintMark(context, row, block);
    });
    paintOutline(context, layout.blocks.slice(first, last + 1));
  }

  /** Under a block: a red square for NaN or Inf, else an amber bar that grows with dead channels. */
  function paintMark(context: CanvasRenderingContext2D, row: LayerRow, { x, width }: Block): void {
    const bottom = TOP + BLOCKS + 2;
    if (row.nan || row.inf) {
      paintRect(context, theme.color("--nbc-nan"), x + width / 2 - 2, bottom, 4, 5);
    } else if (row.dead) {
      const height = 1 + Math.min(4, Math.sqrt(row.dead / 100) * 5);
      paintRect(context, theme.color("--nbc-dead"), x, bottom, width, height);
    }
  }

  function paintOutline(context: CanvasRenderingContext2D, blocks: Block[]): void {
    const [first, last] = [blocks[0], blocks.at(-1)];
    if (!first || !last) return;
    const height = Math.max(...blocks.map((block) => block.height));
    context.strokeStyle = theme.color("--nbc-accent");
    context.lineWidth = 2;
    context.beginPath();
    context.roundRect(
      first.x - 2,
      TOP + (BLOCKS - height) / 2 - 2,
      last.x + last.width - first.x + 4,
      height + 4,
      2,
    );
    context.stroke();
  }
  return { element };
}
