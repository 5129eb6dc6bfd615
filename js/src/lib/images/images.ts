// The images a widget looks at as the trait `_images` has them, and the one that is chosen.

import "./images.css";
import { array, type NdArray } from "../codec.ts";
import { rgbCanvas } from "../picture.ts";
import type { Shell, Trait } from "../view.ts";

export interface Prediction {
  index: number;
  label: string;
  logit: number;
  probability: number;
}

/** The trait `_images`. */
export interface Images {
  names: string[];
  predictions: Prediction[][];
  size: [number, number];
  pictures: NdArray<"uint8">;
}

/** What the strip and the list of predictions need of a widget. */
export interface ImageChoice {
  shell: Shell;
  /** Null as long as none could be read. */
  images(): Images | null;
  /** Number of the chosen one. */
  current: Trait<number>;
  onImages(fn: () => void): void;
}

/** The choice among the images of the trait `_images`, kept in the trait `image_index`. */
export function imageChoice(shell: Shell): ImageChoice {
  const trait = shell.trait("_images");
  let images: Images | null = null;
  const read = (): void => {
    const found = shell.packed("_images", (blob) => {
      const { names, predictions, size } = blob.meta;
      return { names, predictions, size, pictures: array(blob, "pictures", "uint8") };
    });
    images = found ?? images;
  };
  // First of all listeners, so that the others find the new ones.
  trait.on(read);
  read();
  return {
    shell,
    images: () => images,
    current: shell.trait("image_index"),
    onImages: (fn) => trait.on(fn),
  };
}

/** One image as a small canvas. */
export function thumbnail({ pictures }: Images, index: number): HTMLCanvasElement {
  const [, height = 1, width = 1] = pictures.shape;
  const size = height * width * 3;
  return rgbCanvas(pictures.data.subarray(index * size, (index + 1) * size), width, height);
}

/** The number in an element's data-image (or that of an element around the target); -1: none. */
export function imageOf(event: Event): number {
  const found = (event.target as Element).closest("[data-image]");
  return found ? Number(found.getAttribute("data-image")) : -1;
}
