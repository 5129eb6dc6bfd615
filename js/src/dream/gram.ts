// Which channels of a layer go together: the Gram matrix of the picture beside that of the style.

import { array, type Packed } from "../lib/codec.ts";
import { table } from "../lib/colormap.ts";
import { createColourBar } from "../lib/colour_bar.ts";
import { select } from "../lib/controls.ts";
import { h, on, text } from "../lib/dom.ts";
import { createPicture } from "../lib/picture.ts";
import { box } from "../lib/small.ts";
import { mapCanvas } from "../lib/tiles.ts";
import type { Session } from "./session.ts";

/** While the picture grows it is asked for at most so often. */
const EVERY_MS = 1000;

/** One range for both, so that colours can be compared; symmetric where values are negative. */
export function commonRange(lo: ArrayLike<number>, hi: ArrayLike<number>): [number, number] {
  const least = Math.min(...Array.from(lo));
  const most = Math.max(...Array.from(hi));
  if (least >= 0) return [0, most];
  const m = Math.max(-least, most);
  return [-m, m];
}

export function createGram(session: Session): HTMLElement {
  const { shell } = session;
  const { channel: kernel, signal } = shell;
  const trait = shell.trait<Record<string, number>>("style_layers");
  const layer = select<string>(
    { label: "layer", options: names(), value: names()[0] ?? "", onChange: ask },
    signal,
  );
  const [now, target] = ["now", "target"].map((name) => createMatrix(name, signal)) as [
    Matrix,
    Matrix,
  ];
  const bar = createColourBar();
  const words = h("p", { class: "nbc-muted" });
  const maps = box("dr-pair", now.element, target.element);
  const inside = box("dr-inside", layer.el, words, maps, bar.element);
  const summary = h("summary", null, "Gram matrices");
  const element = h("details", { class: "dr-panel", "data-role": "gram" }, summary, inside);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = -1;
  on(element, "toggle", () => element.open && ask(), signal);
  kernel.on("gram", ({ blob, status }) => {
    if (blob) show(blob);
    else if (status === "unsaved") showKept();
  });
  trait.on(() => {
    const value = layer.value;
    layer.setOptions(names());
    layer.value = names().includes(value) ? value : (names()[0] ?? "");
    ask();
  });
  session.on(["run"], () => {
    if (session.run.step !== asked) later();
  });
  session.on(["start"], () => {
    if (asked < 0) showKept();
  });
  session.on(["lock"], () => {
    (layer.input as HTMLSelectElement).disabled = session.locked && !there();
    if (asked >= 0) return;
    if (there()) {
      showKept();
      return;
    }
    const why = session.locked ? " They need the kernel." : "";
    text(words, `Which channels go together.${why}`);
  });
  return element;

  function names(): string[] {
    return Object.keys(trait.get() ?? {});
  }

  function later(): void {
    if (timer || !element.open) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (!signal.aborted) ask();
    }, EVERY_MS);
  }

  /** Whether there is something to show without a kernel. */
  function there(): boolean {
    return kernel.saved || session.kept("gram").length > 0;
  }

  function showKept(): void {
    const blob = session.kept("gram").find(({ meta }) => meta.layer === layer.value);
    if (blob) show(blob);
    else if (session.locked) text(words, "The matrices of this layer need the kernel.");
  }

  function ask(): void {
    if (!element.open || !layer.value) return;
    if (session.locked && !kernel.saved) {
      showKept();
      return;
    }
    asked = session.run.step;
    kernel.ask("gram", { layer: layer.value });
  }

  function show(blob: Packed): void {
    const { channels, shown } = blob.meta;
    const [lo, hi] = [array(blob, "lo", "float32").data, array(blob, "hi", "float32").data];
    const range = commonRange(lo, hi);
    const colours = table(range[0] < 0 ? "RdBu_r" : "magma");
    [now, target].forEach((matrix, i) => {
      const { data: codes, shape } = array(blob, matrix.name, "uint8");
      const map = { codes, lo: lo[i] ?? 0, hi: hi[i] ?? 0 };
      const [rows = 1, columns = 1] = shape;
      matrix.show(mapCanvas(map, columns, rows, { colours, range: () => range }), blob.meta.layer);
    });
    bar.show(colours, range);
    const which = shown < channels ? `the ${shown} strongest of ${channels}` : `all ${channels}`;
    text(words, `Which channels go together: ${which}.`);
  }
}

type Matrix = ReturnType<typeof createMatrix>;

function createMatrix(name: string, signal: AbortSignal) {
  const canvas = h("canvas", { class: "dr-photo", role: "img", "data-matrix": name });
  const picture = createPicture(canvas, signal, true);
  const element = h("figure", { class: "dr-figure" }, canvas, h("figcaption", null, name));
  canvas.style.aspectRatio = "1";
  return { name, element, show };

  function show(map: HTMLCanvasElement, layer: string): void {
    picture.show(map, map.width, map.height);
    canvas.setAttribute("aria-label", `Gram matrix of ${layer}, ${name}`);
  }
}
