// How far the map can be trusted: explained variance, the descent of t-SNE, neighbourhoods kept.

import { fill, h, setProps, text } from "../lib/dom.ts";
import { percent, plural, three } from "../lib/format.ts";
import { span } from "../lib/small.ts";
import { surface } from "../lib/tiles.ts";
import { METHODS, type Session } from "./session.ts";

export function createTrust(session: Session): HTMLElement {
  const { shell } = session;
  const { theme } = shell;
  const title = h("h4", { class: "nbc-title" });
  const words = h("p", { class: "em-note" });
  const scree = h("canvas", { class: "em-chart", "data-role": "scree", role: "img", hidden: true });
  const descent = h("canvas", {
    class: "em-chart",
    "data-role": "descent",
    role: "img",
    hidden: true,
  });
  const quality = h("dl", { class: "em-quality", "data-role": "quality" });
  const notes = h("ul", { class: "em-notes nbc-muted" });
  session.on(["run", "points", "lapse"], show);
  shell.onDraw(paint);
  show();
  return h("section", { "aria-label": "the map" }, title, words, scree, descent, quality, notes);

  function show(): void {
    const { meta, points, descent: fallen } = session;
    const { method = "", layer, explained, kl, iteration = 0, total = 0 } = meta ?? {};
    const name = METHODS[method as keyof typeof METHODS] ?? "map";
    const of = method === "given" ? "the map as it was given" : name;
    text(title, layer && method !== "given" ? `${name} of ${layer}` : of);
    const two = explained?.slice(0, 2).reduce((sum, each) => sum + each, 0);
    const said = [
      two !== undefined && `The plane holds ${percent(two)} of the variance.`,
      method === "tsne" && total > 0 && `Iteration ${iteration} of ${total}.`,
      kl !== null && kl !== undefined && `KL divergence ${three(kl)}.`,
    ].filter(Boolean);
    text(words, said.join(" "));
    scree.hidden = !explained?.length;
    descent.hidden = fallen.length < 2;
    const shares = explained?.slice(0, 5).map(percent).join(", ");
    setProps(scree, { "aria-label": `explained variance: ${shares}`, title: `${shares}, …` });
    const [first, last] = [fallen[0]?.[1], fallen.at(-1)?.[1]];
    setProps(descent, { "aria-label": `KL divergence from ${three(first)} to ${three(last)}` });
    fill(quality, ...figures());
    const lines = [...(meta?.notes ?? [])];
    if (points.sample) {
      lines.unshift(`A preview: ${points.count} of ${plural(points.total, "point")}.`);
    }
    fill(notes, ...lines.map((line) => h("li", null, line)));
    shell.status(undefined, plural(points.total, "point"));
    shell.redraw();
  }

  function figures(): HTMLElement[] {
    const { quality: found, complete, method } = session.meta ?? {};
    if (!found) {
      const stopped = method === "tsne" && !complete && !session.running;
      return stopped ? [h("dd", { class: "nbc-muted" }, "Not run to its end.")] : [];
    }
    const { neighbors, trustworthiness, purity, features_purity: before, chance } = found;
    const rows: HTMLElement[] = [];
    const near = `${neighbors} nearest`;
    if (trustworthiness !== null) {
      rows.push(
        ...figure(
          "trustworthiness",
          trustworthiness,
          [],
          `Of the ${near} on the map, how far they are near in the features too`,
        ),
      );
    }
    if (purity !== null) {
      const marks: Array<[string, number | null]> = [
        ["in the features", before],
        ["by chance", chance],
      ];
      rows.push(
        ...figure(
          "purity",
          purity,
          marks,
          `Share of the ${near} on the map that have the same label`,
        ),
      );
    }
    return rows;
  }

  /** A share from 0 to 1 as a bar, with marks of what it is compared with. */
  function figure(
    name: string,
    value: number,
    marks: ReadonlyArray<readonly [string, number | null]>,
    why: string,
  ): HTMLElement[] {
    const bar = span("em-bar");
    bar.style.width = percentOf(value);
    const ticks = marks.map(([, at]) => {
      const tick = span("em-tick");
      tick.style.insetInlineStart = percentOf(at ?? 0);
      tick.hidden = at === null;
      return tick;
    });
    const compared = marks
      .filter(([, at]) => at !== null)
      .map(([word, at]) => `${word} ${three(at)}`)
      .join(", ");
    return [
      h("dt", { title: why }, name),
      h(
        "dd",
        { title: why },
        h("span", { class: "em-track", "aria-hidden": "true" }, bar, ...ticks),
        span("em-count", three(value)),
      ),
      ...(compared ? [h("dd", { class: "em-compared nbc-muted" }, compared)] : []),
    ];
  }

  function paint(): void {
    const { meta, descent: fallen } = session;
    if (!scree.hidden) paintBars(scree, meta?.explained ?? []);
    if (!descent.hidden) paintLine(descent, fallen);
  }

  function paintBars(canvas: HTMLCanvasElement, shares: readonly number[]): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    const pen = surface(canvas, width, height);
    if (!pen) return;
    const most = Math.max(1e-12, ...shares);
    const step = width / Math.max(8, shares.length);
    shares.forEach((share, i) => {
      pen.fillStyle = theme.color(i < 2 ? "--nbc-accent" : "--nbc-edge");
      const high = Math.max(1, (share / most) * (height - 2));
      pen.fillRect(i * step + 1, height - high, Math.max(1, step - 2), high);
    });
  }

  function paintLine(
    canvas: HTMLCanvasElement,
    line: ReadonlyArray<readonly [number, number]>,
  ): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    const pen = surface(canvas, width, height);
    if (!pen) return;
    const values = line.map(([, kl]) => kl);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const end = Math.max(session.meta?.total ?? 1, line.at(-1)?.[0] ?? 1);
    pen.strokeStyle = theme.color("--nbc-accent");
    pen.lineWidth = 2;
    pen.lineJoin = "round";
    pen.beginPath();
    for (const [iteration, kl] of line) {
      const y = high > low ? (kl - low) / (high - low) : 0.5;
      pen.lineTo(2 + ((width - 4) * iteration) / end, height - 3 - y * (height - 6));
    }
    pen.stroke();
  }
}

function percentOf(share: number): string {
  return `${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
}
