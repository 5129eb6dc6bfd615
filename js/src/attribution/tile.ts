// One method's picture: the map, its colours and raw ends, what is said of it, its evidence.

import { createColourBar } from "../lib/colour_bar.ts";
import { button } from "../lib/controls.ts";
import { h, setProps, text } from "../lib/dom.ts";
import { percent, three } from "../lib/format.ts";
import { box, span } from "../lib/small.ts";
import { pixelCanvas } from "../lib/tiles.ts";
import { createEvidence } from "./evidence.ts";
import { type Heat, heatOf, keptOf, keptPixels, lookOf, paintHeat } from "./heat.ts";
import { createPhoto } from "./marks.ts";
import { type MethodResult, numbers, ofPixels } from "./results.ts";
import type { Session } from "./session.ts";
import { sayNotes } from "./words.ts";

export type Tile = ReturnType<typeof createTile>;

/** `name`: of the method; its result may come later, or never. */
export function createTile(session: Session, name: string, signal: AbortSignal) {
  const { shell } = session;
  const info = session.info(name);
  const title = session.title(name);
  const canvas = h("canvas", {
    class: "at-canvas",
    "data-method": name,
    role: "application",
    "aria-roledescription": "map",
    "aria-description": "Arrows move the cursor that all maps share; with Shift by one pixel.",
  });
  const words = h("p", { class: "at-words", hidden: true });
  const { element: photo, picture } = createPhoto(session, canvas, words);
  const bar = createColourBar();
  const ends = box("at-ends nbc-muted");
  const value = h("span", { class: "at-value", "data-role": "value" });
  const notes = h("p", { class: "at-notes nbc-muted" });
  const area = span("nbc-muted");
  const label = `use ${title} as mask`;
  const take = () => session.askFor("mask", { method: name });
  const use = shell.needsKernel(button({ label, glyph: "use as mask", onClick: take }, signal));
  const cut = box("at-cut", area, use);
  const evidence = createEvidence(session, name, signal);
  const paper = info ? `${info.paper}\n${info.formula}` : null;
  const head = h("figcaption", { title: paper }, span("nbc-clip", title), value);
  const element = h(
    "figure",
    { class: "at-tile" },
    ...[head, photo, bar.element, ends, cut, evidence.element, notes],
  );
  let result: MethodResult | null = null;
  let heat: Heat | null = null;
  let map: HTMLCanvasElement | null = null;
  /** What the shown heat was made of. */
  let made = "";
  return { name, element, canvas, picture, role, show, paint, point };

  /** Only the first one is the stage, which has the keyboard for all. */
  function role(first: boolean): void {
    setProps(canvas, { "data-role": first ? "stage" : "method", tabindex: first ? 0 : -1 });
  }

  /** Take the result that has come, or keep the old one and say that it is old. */
  function show(): void {
    const next = session.results?.methods.find((each) => each.name === name);
    if (next && next !== result) {
      result = next;
      made = "";
    }
    element.toggleAttribute("data-stale", session.stale || !next);
    paint();
  }

  /** `anew` false: the same once more. */
  function paint(anew = true): void {
    if (!anew) {
      if (map) picture.show(map, map.width, map.height);
      return;
    }
    const { size, grey, over, opacity, contrast, results } = session;
    const { mask } = session.got;
    const [height, width] = size;
    const reduce = session.reduce.get();
    const share = session.share.get() ?? 1;
    if (made !== reduce) heat = result && heatOf(result, reduce, !info || ofPixels(info));
    if (heat?.codes.length !== height * width) heat = null;
    made = reduce;
    // A CAM that is zero everywhere would be noise, if it were stretched to the colours.
    const none =
      heat && !result?.positive ? `No positive evidence for ${results?.target.name}.` : "";
    const shown = none && !(heat?.signed && result?.min) ? null : heat;
    const look = shown && lookOf(shown, session.colours, contrast);
    const kept = shown && share < 1 ? keptOf(shown, share) : null;
    const taken = mask && session.masked === name && kept && numbers<Uint8Array>(mask, "mask");
    map = pixelCanvas(width, height, (pixels) => {
      const keep = taken || (kept && keptPixels(shown as Heat, kept));
      if (look) paintHeat(pixels, grey, width, shown as Heat, look, over ? opacity : 1, keep);
      else pixels.set(Uint32Array.from(grey, (v) => 0xff000000 + 0x10101 * (v >> 1)));
    });
    picture.show(map, width, height);
    if (look) bar.show(look.colours, look.range);
    bar.element.toggleAttribute("data-none", !look);
    const coverage = taken ? mask?.meta.coverage : kept?.coverage;
    cut.hidden = !kept;
    use.hidden = Boolean(taken);
    text(area, `${taken ? "mask: " : ""}${percent(coverage)} kept`);
    const { min = null, max = null } = result ?? {};
    const why = result?.error || none || (heat ? "" : "not computed yet");
    text(words, why);
    words.hidden = !why;
    text(ends, heat ? `min ${three(min)} · max ${three(max)}` : "");
    text(notes, heat && result ? sayNotes(result) : "");
    setProps(canvas, {
      "aria-label": `${title}: ${why || ends.textContent}`,
      "data-min": min,
      "data-max": max,
      "data-coverage": coverage,
    });
    point();
  }

  /** The value of the pixel that the cursor is on, in any of the maps. */
  function point(): string {
    const at = session.cursor;
    const [, width] = session.size;
    const here = at && heat ? heat.values[heat.codes[at.y * width + at.x] as number] : undefined;
    const said = here === undefined ? "" : three(here);
    text(value, said);
    return said && `${title} ${said}`;
  }
}
