// What the steps have done to the objective or the loss: a line on the axis of the film.

import { h, setProps } from "../lib/dom.ts";
import { surface } from "../lib/tiles.ts";
import type { Point } from "./record.ts";
import type { Session } from "./session.ts";
import { sayTrace } from "./words.ts";

/** Room above and below the line. */
const EDGE = 4;

/** The trace as heights, 0..1 from below; on a logarithmic axis if it falls and stays above 0. */
export function heights(trace: readonly Point[], falls: boolean): number[] {
  const values = trace.map(([, value]) => value);
  const log = falls && values.every((value) => value > 0);
  const scaled = log ? values.map(Math.log) : values;
  const [lo, hi] = [Math.min(...scaled), Math.max(...scaled)];
  return scaled.map((value) => (hi > lo ? (value - lo) / (hi - lo) : 0.5));
}

export function createSparkline(session: Session): HTMLCanvasElement {
  const { shell, kind } = session;
  const canvas = h("canvas", { class: "dr-losses", role: "img", "data-role": "losses" });
  session.on(["film", "cursor", "run"], () => {
    setProps(canvas, { "aria-label": sayTrace(kind.measure, session.trace) });
    shell.redraw();
  });
  shell.onDraw(paint);
  return canvas;

  function paint(): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    const context = surface(canvas, width, height);
    if (!context) return;
    const { run, trace, frame } = session;
    const { color } = shell.theme;
    const x = (step: number): number => (width * step) / Math.max(1, run.steps);
    const tall = heights(trace, kind.falls ?? false);
    const y = (i: number): number => height - EDGE - (height - 2 * EDGE) * (tall[i] as number);
    context.fillStyle = color("--nbc-line");
    // A line where a size ends; a run of two plans has others.
    const parts = run.octaves * shell.trait<number>("steps").get() === run.steps ? run.octaves : 0;
    for (let i = 1; i < parts; i++) {
      context.fillRect(Math.round((width * i) / run.octaves), 0, 1, height);
    }
    if (!trace.length) return;
    context.beginPath();
    trace.forEach(([step], i) => {
      context.lineTo(x(step), y(i));
    });
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.strokeStyle = color("--nbc-accent");
    context.stroke();
    context.lineTo(x((trace.at(-1) as Point)[0]), height);
    context.lineTo(x((trace[0] as Point)[0]), height);
    context.fillStyle = color("--nbc-accent-soft");
    context.globalCompositeOperation = "destination-over";
    context.fill();
    context.globalCompositeOperation = "source-over";
    paintDot(context, x, y, frame?.step ?? run.step);
  }

  /** Where the shown picture is. */
  function paintDot(
    context: CanvasRenderingContext2D,
    x: (step: number) => number,
    y: (i: number) => number,
    step: number,
  ): void {
    const after = session.trace.findIndex(([each]) => each >= step);
    const i = after < 0 ? session.trace.length - 1 : after;
    context.beginPath();
    context.arc(x((session.trace[i] as Point)[0]), y(i), 3, 0, 2 * Math.PI);
    context.fillStyle = shell.theme.color("--nbc-accent");
    context.fill();
  }
}
