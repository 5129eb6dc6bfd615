// The architecture as a ribbon: a block for every layer, as high as its maps are large and as thick
// as it has channels. A slider for the keyboard: arrows go from layer to layer.

import { h, on, setProps } from "../lib/dom.ts";
import { fitCanvas } from "../lib/tiles.ts";
import { colourKind, describeLayer } from "./describe.ts";
import { type LayerRow, spatial } from "./layer_maps.ts";
import { blockAt, keepInView, layoutRibbon, type RibbonLayout } from "./ribbon_layout.ts";
import type { Session } from "./session.ts";

const BLOCKS = 36;
/** Room above for the outline, below for the doctor's marks. */
const TOP = 4;
const MARKS = 8;
const HEIGHT = TOP + BLOCKS + MARKS;
const SIDE = 4;

export function createRibbon(session: Session) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const tip = h("div", { class: "fm-tip", "aria-hidden": "true", hidden: true });
  let leaves: LayerRow[] = [];
  let layout: RibbonLayout = { blocks: [], width: 0 };
  let scrollTo = 0;
  let hovered = -1;

  const scroll = h(
    "div",
    {
      class: "fm-ribbon-scroll",
      role: "slider",
      tabindex: 0,
      "aria-label": "Layer of the network",
      "aria-orientation": "horizontal",
      "data-role": "ribbon",
    },
    canvas,
  );
  const element = h("div", { class: "fm-ribbon" }, scroll, tip);
  const { shell } = session;
  const { signal, theme } = shell;
  session.on(["layers"], read);
  session.on(["stale"], follow);
  shell.onResize(measure);
  shell.onDraw(paint);
  on(scroll, "keydown", key, signal);
  on(scroll, "click", click, signal);
  on(scroll, "pointermove", (event) => point(find(event)), signal);
  on(scroll, "pointerleave", () => point(-1), signal);
  on(scroll, "wheel", wheel, signal, { passive: false });

  /** The canvas is as wide as what is seen; scrolling only moves what is painted on it. */
  function wheel(event: WheelEvent): void {
    const room = layout.width + 2 * SIDE - scroll.clientWidth;
    if (room <= 0) return;
    event.preventDefault();
    const by = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY;
    scrollTo = Math.min(room, Math.max(0, scrollTo + by));
    shell.redraw();
  }

  function read(): void {
    leaves = session.layers.filter((row) => row.leaf);
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
    const name = session.layer.get();
    const exact = leaves.findIndex((row) => row.name === name);
    if (exact >= 0) return [exact, exact];
    const inside = (row: LayerRow) =>
      row.name.startsWith(`${name}.`) || row.name.startsWith(`${name}/`);
    const first = leaves.findIndex(inside);
    return first < 0 ? null : [first, leaves.findLastIndex(inside)];
  }

  function follow(): void {
    const chosen = range();
    const { row } = session;
    setProps(scroll, {
      "aria-valuemin": 1,
      "aria-valuemax": Math.max(1, leaves.length),
      "aria-valuenow": chosen ? chosen[1] + 1 : 1,
      "aria-valuetext": row ? describeLayer(row) : "no layer chosen",
    });
    const block = chosen && layout.blocks[chosen[1]];
    const seen = element.clientWidth;
    if (block && seen > 0) {
      const total = layout.width + 2 * SIDE;
      scrollTo = keepInView(block, scrollTo, seen, total);
    }
    shell.redraw();
  }

  function find(event: MouseEvent): number {
    const x = event.clientX - canvas.getBoundingClientRect().left + scrollTo - SIDE;
    if (x < -SIDE || x > layout.width + SIDE) return -1;
    return blockAt(layout, x);
  }

  function click(event: MouseEvent): void {
    const row = leaves[find(event)];
    if (row && spatial(row)) session.layer.set(row.name);
  }

  function key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [first, last] = range() ?? [0, 0];
    const end = leaves.length - 1;
    const moves: Record<string, [start: number, step: number]> = {
      ArrowRight: [last + 1, 1],
      ArrowUp: [last + 1, 1],
      ArrowLeft: [first - 1, -1],
      ArrowDown: [first - 1, -1],
      PageUp: [Math.min(end, last + 10), 1],
      PageDown: [Math.max(0, first - 10), -1],
      Home: [0, 1],
      End: [end, -1],
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    // Layers without maps are stepped over.
    for (let i = move[0]; i >= 0 && i <= end; i += move[1]) {
      const row = leaves[i] as LayerRow;
      if (!spatial(row)) continue;
      session.layer.set(row.name);
      return;
    }
  }

  function point(index: number): void {
    if (index === hovered) return;
    hovered = index;
    const row = leaves[index];
    const block = layout.blocks[index];
    tip.hidden = !row;
    scroll.style.cursor = row && spatial(row) ? "pointer" : "default";
    if (row && block) {
      tip.textContent = describeLayer(row);
      const middle = block.x + SIDE + block.width / 2 - scrollTo;
      const room = element.clientWidth - tip.offsetWidth;
      const left = Math.max(0, Math.min(room, middle - tip.offsetWidth / 2));
      tip.style.transform = `translateX(${Math.round(left)}px)`;
    }
    shell.redraw();
  }

  function paint(): void {
    const width = element.clientWidth;
    if (width === 0) return;
    const pixels = devicePixelRatio;
    fitCanvas(canvas, width, HEIGHT, pixels);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    context.translate(SIDE - scrollTo, 0);
    paintBlocks(context, width);
    paintOutline(context);
  }

  function paintBlocks(context: CanvasRenderingContext2D, width: number): void {
    const { theme } = session.shell;
    const colours = new Map<string, string>();
    const colour = (name: string): string => {
      const known = colours.get(name) ?? theme.color(`--fm-${name}`);
      colours.set(name, known);
      return known;
    };
    const [first, last] = range() ?? [-1, -1];
    layout.blocks.forEach((block, i) => {
      const left = block.x - scrollTo;
      if (left > width || left + block.width + SIDE < 0) return;
      const row = leaves[i] as LayerRow;
      const strong = (i >= first && i <= last) || i === hovered;
      context.globalAlpha = strong ? 1 : spatial(row) ? 0.85 : 0.45;
      context.fillStyle = colour(colourKind(row.kind));
      context.fillRect(block.x, TOP + (BLOCKS - block.height) / 2, block.width, block.height);
      context.globalAlpha = 1;
      paintMark(context, row, block.x, block.width, colour);
    });
  }

  /** Under a block: a red square for NaN or Inf, else an amber bar that grows with dead channels. */
  function paintMark(
    context: CanvasRenderingContext2D,
    row: LayerRow,
    x: number,
    width: number,
    colour: (name: string) => string,
  ): void {
    const bottom = TOP + BLOCKS + 2;
    if (row.nan || row.inf) {
      context.fillStyle = colour("nan");
      context.fillRect(x + width / 2 - 2, bottom, 4, 5);
    } else if (row.dead) {
      context.fillStyle = colour("dead");
      const height = 1 + Math.min(4, Math.sqrt(row.dead / 100) * 5);
      context.fillRect(x, bottom, width, height);
    }
  }

  function paintOutline(context: CanvasRenderingContext2D): void {
    const chosen = range();
    if (!chosen) return;
    const blocks = layout.blocks.slice(chosen[0], chosen[1] + 1);
    const [first, last] = [blocks[0], blocks[blocks.length - 1]];
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
