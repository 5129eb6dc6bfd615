// One channel large: as a map, laid over the picture, in figures, with the weights that make it.

import { decode } from "../lib/colormap.ts";
import { button, slider, toggle } from "../lib/controls.ts";
import { fill, h, on, setProps, text } from "../lib/dom.ts";
import { percent, three } from "../lib/format.ts";
import { createPicture, rgbCanvas } from "../lib/picture.ts";
import { box, clamp, span, stride, take } from "../lib/small.ts";
import { mapCanvas, type QuantisedMap, quantise } from "../lib/tiles.ts";
import { createCompare } from "./compare.ts";
import { createHistogramView } from "./histogram_view.ts";
import { createKernels } from "./kernels.ts";
import { pointAt, pointCell } from "./pointing.ts";
import type { Session } from "./session.ts";

/** Sliders and lists use the arrow keys themselves. */
const OWN_ARROWS = "input, select";

export type Detail = ReturnType<typeof createDetail>;

export function createDetail(session: Session) {
  const title = h("h3", { class: "nbc-name" });
  const placeText = span("nbc-muted fm-rank");
  const numbers = h("dl", { class: "fm-numbers" });
  const remarkText = h("p", { class: "fm-remark" });
  const histogramTitle = h("h4", { class: "nbc-title" });
  let share = 0.6;
  let at: { y: number; x: number } | null = null;
  let coloured: HTMLCanvasElement | null = null;
  /** What lay under the pointer when the float map came. */
  let pointer: { u: number; v: number } | null = null;

  const { shell } = session;
  const { signal } = shell;
  const canvas = (role: string, label: string) =>
    h("canvas", { "data-role": role, role: "img", "aria-label": label });
  const map = createPicture(canvas("map", "feature map"), signal, true);
  const overlay = createPicture(canvas("overlay", "feature map over the image"), signal);
  const histogram = createHistogramView();
  const kernels = createKernels();
  const compare = createCompare(session);
  const comparing = toggle(
    { label: "compare images", value: false, onChange: showCompare },
    signal,
  );
  const opacity = slider(
    {
      label: "overlay",
      min: 0,
      max: 100,
      value: share * 100,
      unit: " %",
      onInput: (value) => {
        share = value / 100;
        overlay.overlay(coloured, share);
      },
    },
    signal,
  );
  const pair = box(
    "fm-pair",
    h("figure", null, map.canvas, h("figcaption", { class: "nbc-muted" }, "map")),
    h("figure", null, overlay.canvas, h("figcaption", null, opacity.el)),
  );
  const side = box(
    "fm-side",
    numbers,
    remarkText,
    h("section", null, histogramTitle, histogram.element),
    kernels.element,
  );
  const one = box("fm-one", pair, side);
  const element = h(
    "div",
    { class: "fm-detail", role: "group", tabindex: -1, hidden: true, "data-role": "detail" },
    one,
    compare.element,
  );
  session.on(["maps", "full", "channel"], show);
  session.imageChoice.onImages(offerCompare);
  offerCompare();
  session.on(["look"], colour);
  session.on(["order"], rank);
  session.on(["hover"], mark);
  on(element, "keydown", key, signal);
  point(signal);

  function head(): HTMLElement {
    const back = button({ label: "all maps", onClick: () => session.channel.set(null) }, signal);
    back.prepend("‹ ");
    const step = (label: string, glyph: string, by: number) =>
      button({ label, glyph, onClick: () => go(by) }, signal);
    return h(
      "div",
      { class: "fm-detail-head", hidden: true },
      back,
      h(
        "span",
        { class: "fm-steps" },
        step("previous channel", "←", -1),
        step("next channel", "→", 1),
      ),
      title,
      placeText,
      comparing.el,
    );
  }

  function go(by: number): void {
    const { order, channel } = session;
    const place = order.indexOf(channel.get() ?? -1);
    const target = order[clamp(place + by, 0, order.length - 1)];
    if (target !== undefined) channel.set(target);
  }

  function key(event: KeyboardEvent): void {
    const by = stride(event);
    if (by === 0 || (event.target as Element).matches(OWN_ARROWS)) return;
    const vertical = /Up|Down/.test(event.key);
    if (event.shiftKey) moveCell(vertical ? by : 0, vertical ? 0 : by);
    else if (!vertical) go(by);
    else return;
    take(event);
  }

  /** Shift and arrows move from cell to cell, as the pointer does. */
  function moveCell(dy: number, dx: number): void {
    const { maps, channel } = session;
    const open = channel.get();
    if (!maps || open === null) return;
    const [, height, width] = maps.shape;
    const from = at ?? { y: height >> 1, x: width >> 1 };
    const y = clamp(from.y + dy, 0, height - 1);
    const x = clamp(from.x + dx, 0, width - 1);
    hoverAt((x + 0.5) / width, (y + 0.5) / height);
  }

  function point(signal: AbortSignal): void {
    for (const picture of [map, overlay]) {
      const move = (event: PointerEvent): void => {
        const at = picture.place(event);
        if (at) hoverAt(at.u, at.v);
      };
      on(picture.canvas, "pointermove", move, signal);
      const leave = (): void => {
        pointer = null;
        session.point(null);
      };
      on(picture.canvas, "pointerleave", leave, signal);
    }
  }

  function hoverAt(u: number, v: number): void {
    const { maps, channel } = session;
    const open = channel.get();
    if (!maps || open === null) return;
    pointer = { u, v };
    const [, height, width] = maps.shape;
    const cell = [Math.floor(v * height), Math.floor(u * width)] as const;
    const reach = [maps.cells[0] * maps.factor, maps.cells[1] * maps.factor] as const;
    session.point(
      maps.full.has(open)
        ? pointCell(maps, open, ...cell)
        : pointAt(maps, open, (u * width) / reach[1], (v * height) / reach[0]),
    );
  }

  /** One image has nothing to be compared with. */
  function offerCompare(): void {
    comparing.el.hidden = (session.images()?.names.length ?? 0) < 2;
  }

  function showCompare(shown: boolean): void {
    session.comparing = shown;
    one.hidden = shown;
    if (shown) session.needComparison();
    mainCanvas();
    session.emit("compare");
  }

  /** On a page one canvas is the stage: the map while it is seen, else another part's. */
  function mainCanvas(): void {
    const seen = session.channel.get() !== null && !session.comparing;
    map.canvas.dataset.role = seen ? "stage" : "map";
  }

  function show(): void {
    const { maps, channel } = session;
    const open = channel.get();
    mainCanvas();
    if (open === null) return;
    text(title, `channel ${open}`);
    setProps(element, { "aria-label": `channel ${open} of ${maps?.layer ?? "the layer"}` });
    rank();
    if (!maps || session.stale) return;
    session.need([open]);
    session.needFull(open);
    if (session.comparing) session.needComparison();
    figures(open);
    colour();
    if (pointer) hoverAt(pointer.u, pointer.v);
  }

  function rank(): void {
    const { order, channel, sort, maps } = session;
    const open = channel.get();
    if (open === null || !maps) return;
    const place = order.indexOf(open);
    const by = sort.get() === "index" ? "" : ` by ${sort.get()}`;
    text(placeText, place < 0 ? "hidden" : `${place + 1} of ${order.length}${by}`);
  }

  function figures(channel: number): void {
    const { maps } = session;
    if (!maps) return;
    const { mean, minimum, maximum, variance, sparsity, nan } = maps.stats;
    const full = maps.full.get(channel) ?? null;
    const pairs: [string, string][] = [
      ["min", three(minimum[channel])],
      ["mean", three(mean[channel])],
      ["max", three(maximum[channel])],
      ["variance", three(variance[channel])],
      ["exact zeros", percent(sparsity[channel])],
    ];
    fill(
      numbers,
      ...pairs.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    );
    const count = nan[channel] ?? 0;
    const remark = maps.remark(channel);
    const said = remark === "all zero" ? "dead: all zero" : remark || "alive";
    text(remarkText, count ? `${count} NaN` : said);
    remarkText.className = `fm-remark${remark ? " fm-warn" : ""}${count ? " nbc-bad" : ""}`;
    const values = full?.values ?? decoded(maps.maps.get(channel) ?? null);
    text(histogramTitle, full ? "histogram" : "histogram (approximate)");
    histogram.show(values);
  }

  /** Colours or the map changed. */
  function colour(): void {
    const { maps, look, channel } = session;
    const open = channel.get();
    if (!maps || open === null) return;
    const [, height, width] = maps.shape;
    const full = maps.full.get(open);
    const reduced = maps.maps.get(open);
    if (full) coloured = mapCanvas(quantise(full.values), width, height, look);
    else if (reduced) coloured = mapCanvas(reduced, maps.cells[1], maps.cells[0], look);
    else coloured = null;
    map.show(coloured, width, height);
    const [rows = 1, columns = 1] = session.images()?.size ?? maps.picture.shape;
    const [high = 1, wide = 1] = maps.picture.shape;
    overlay.show(rgbCanvas(maps.picture.data, wide, high), columns, rows);
    overlay.overlay(coloured, share);
    kernels.show(full ?? null);
  }

  /** Show on both pictures where the pointer is. */
  function mark(): void {
    const { hover } = session;
    if (element.hidden) return;
    at = hover && { y: hover.y, x: hover.x };
    histogram.mark(hover?.value ?? null);
    overlay.boxes(hover?.box ? [hover.box] : []);
    const cell = hover && { top: hover.y, left: hover.x, bottom: hover.y + 1, right: hover.x + 1 };
    map.boxes(cell ? [cell] : []);
  }
  return { element, head: head() };
}

function decoded(map: QuantisedMap | null): Float32Array | null {
  return map && Float32Array.from(map.codes, (code) => decode(code, map.lo, map.hi));
}
