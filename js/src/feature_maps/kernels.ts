// The weights of one filter of a convolution as pictures: in colour when it looks at RGB, else one
// tile per input channel, the strongest first.

import { table } from "../lib/colormap.ts";
import { fill, h, setProps, text } from "../lib/dom.ts";
import { shape, three } from "../lib/format.ts";
import { rgbCanvas } from "../lib/picture.ts";
import { type Look, mapCanvas, quantise } from "../lib/tiles.ts";
import type { FullMap } from "./layer_maps.ts";

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

/** A place for the weights of one filter; `show` fills it, null empties it. */
export function createKernels() {
  const title = h("h4", { class: "nbc-title" });
  const list = h("div", {
    class: "fm-kernels",
    "data-role": "kernels",
    tabindex: 0,
    role: "group",
  });
  const element = h("section", null, title, list);
  return { element, show };

  function show(full: FullMap | null): void {
    const weights = full?.weights;
    element.hidden = !weights;
    if (!weights) return;
    const [count = 1, height = 1, width = 1] = weights.shape;
    const size = height * width;
    const all = quantise(weights.data);
    const most = Math.max(Math.abs(all.lo), Math.abs(all.hi));
    // Zero is the middle of the colours, in all tiles alike.
    const look: Look = { colours: table("RdBu_r"), range: () => [-most, most] };
    const rgb = full.kind === "rgb";
    const tiles = Array.from({ length: count }, (_, i) => {
      const map = quantise(weights.data.subarray(i * size, (i + 1) * size));
      const name = rgb ? "RGB".charAt(i) : String(full.inputs?.[i] ?? i);
      return figure(mapCanvas(map, width, height, look), name);
    });
    if (rgb) {
      const picture = rgbCanvas(kernelRgb(weights.data, height, width), width, height);
      picture.className = "fm-filter";
      tiles.unshift(figure(picture, "as colours"));
    }
    fill(list, ...tiles);
    const how = rgb ? "" : " · strongest first";
    text(title, `weights ${shape(weights.shape)}${how} · ± ${three(most)}`);
    setProps(list, { "aria-label": title.textContent });
    list.classList.toggle("fm-points", size === 1);
  }
}

function figure(picture: HTMLElement, name: string): HTMLElement {
  return h("figure", null, picture, h("figcaption", null, name));
}
