// A picture that follows the pointer: over it lie the cursor that all pictures share, and switches as
// dots.

import { type Child, h, on, onSize } from "../lib/dom.ts";
import { createPicture } from "../lib/picture.ts";
import { box } from "../lib/small.ts";
import { surface } from "../lib/tiles.ts";
import { numbers } from "./results.ts";
import type { Session } from "./session.ts";

/** A colour for each pooling layer, told apart on any map. */
export const DOTS = ["#ffd400", "#00e5ff", "#ff5cf4", "#7cff6b", "#ff9a3d"];

/** `canvas` with what lies over it, and what else is given. */
export function createPhoto(session: Session, canvas: HTMLCanvasElement, ...over: Child[]) {
  const { shell } = session;
  const { signal } = shell;
  const picture = createPicture(canvas, signal);
  const cursor = box("at-cross");
  const dots = h("canvas", { class: "at-dots", "aria-hidden": "true" });
  const move = (event: MouseEvent) => session.point(session.pixel(picture.place(event)));
  const leave = () => canvas.matches(":focus-visible") || session.point(null);
  onSize(dots, paint, signal);
  on(canvas, "pointermove", move, signal);
  on(canvas, "pointerleave", leave, signal);
  session.on(["cursor"], cross);
  session.on(["switches"], paint);
  shell.onDraw(paint);
  cross();
  return { element: box("at-photo", canvas, dots, cursor, ...over), picture };

  function cross(): void {
    const { cursor: at, size } = session;
    cursor.hidden = !at;
    if (!at) return;
    cursor.style.left = `${(100 * (at.x + 0.5)) / size[1]}%`;
    cursor.style.top = `${(100 * (at.y + 0.5)) / size[0]}%`;
  }

  /** The heavier a switch, the larger its dot. */
  function paint(): void {
    const { switches } = session.got;
    dots.hidden = !(switches && session.showSwitches);
    const { clientWidth, clientHeight } = dots;
    const context = dots.hidden ? null : surface(dots, clientWidth, clientHeight);
    if (!context || !switches) return;
    const [height, width] = session.size;
    const [layer, y, x, weight] = ["layer", "y", "x", "weight"].map((name) =>
      numbers(switches, name),
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const sizes = weight.map(Math.abs);
    const most = Math.max(...sizes);
    sizes.forEach((size, i) => {
      const share = Math.sqrt(size / most);
      const [at, down] = [(x[i] as number) + 0.5, (y[i] as number) + 0.5];
      context.beginPath();
      context.arc(
        (at * clientWidth) / width,
        (down * clientHeight) / height,
        0.75 + 2.25 * share,
        0,
        7,
      );
      context.fillStyle = DOTS[(layer[i] as number) % DOTS.length] as string;
      context.globalAlpha = 0.35 + 0.65 * share;
      context.fill();
    });
  }
}
