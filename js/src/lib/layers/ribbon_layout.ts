/** Geometry of the architecture ribbon: one block a layer; pure arithmetic in CSS pixels. */

export interface Block {
  x: number;
  width: number;
  height: number;
}

export interface RibbonLayout {
  blocks: Block[];
  /** Width of everything: more than was available when even thin blocks do not fit. */
  width: number;
}

export const THINNEST = 2;
const THICKEST = 24;

/** How thick and how high the blocks would like to be, both on a log scale in 0..1. */
function ambition(shapes: readonly (readonly number[])[]): { thick: number[]; high: number[] } {
  const channels = shapes.map((shape) => Math.log2(1 + (shape[0] ?? 1)));
  const sides = shapes.map((shape) =>
    shape.length === 3 ? Math.log2(1 + Math.max(shape[1] ?? 1, shape[2] ?? 1)) : 0,
  );
  const most = Math.max(1, ...channels);
  const largest = Math.max(1, ...sides);
  return { thick: channels.map((c) => c / most), high: sides.map((s) => s / largest) };
}

/**
 * Blocks side by side: as thick as there is room for, never thinner than 2 px.
 * `shapes` are (C, H, W) or (D,); layers without maps are the lowest.
 */
export function layoutRibbon(
  shapes: readonly (readonly number[])[],
  available: number,
  height: number,
): RibbonLayout {
  const { thick, high } = ambition(shapes);
  const count = shapes.length;
  const gap = count * (THINNEST + 1) > available ? 0.5 : 1;
  const wish = thick.reduce((sum, t) => sum + t * t, 0);
  // What is left after every block has its 2 px is shared by the squares of the logs:
  // the difference between 32 and 512 channels should be seen.
  const spare = Math.max(0, available - count * THINNEST - (count - 1) * gap);
  const unit = wish > 0 ? Math.min(THICKEST, spare / wish) : 0;
  let x = 0;
  const blocks = thick.map((t, i) => {
    const block = {
      x,
      width: THINNEST + t * t * unit,
      height: Math.max(4, Math.round(4 + (high[i] as number) ** 1.5 * (height - 4))),
    };
    x += block.width + gap;
    return block;
  });
  return { blocks, width: Math.max(0, x - gap) };
}

/** The block at `x`, or the nearest one; -1 when there is none. */
export function blockAt(layout: RibbonLayout, x: number): number {
  let low = 0;
  let high = layout.blocks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((layout.blocks[middle] as Block).x <= x) low = middle;
    else high = middle - 1;
  }
  return high < 0 ? -1 : low;
}
