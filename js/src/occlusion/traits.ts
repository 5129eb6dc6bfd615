// The picture and the mask as the kernel's traits have them.

import { array } from "../lib/codec.ts";
import type { Shell } from "../lib/view.ts";
import { pair } from "./sweep.ts";

/** Trait `_image`: the picture, and what stands in where all of it is hidden. */
export function readImage(shell: Shell) {
  const found = shell.packed("_image", (blob) => ({
    name: String(blob.meta.name ?? ""),
    size: pair(blob.meta.size),
    picture: array(blob, "picture", "uint8"),
    hidden: array(blob, "hidden", "uint8"),
  }));
  if (!found) throw new Error("there is no image to show.");
  return found;
}

/** Trait `_mask`: what is hidden, and which view has painted it; null if it is of another size. */
export function readMask(shell: Shell, count: number) {
  return shell.packed("_mask", (blob) => {
    const { data } = array(blob, "mask", "uint8");
    return data.length === count ? { data, origin: String(blob.meta.origin) } : null;
  });
}
