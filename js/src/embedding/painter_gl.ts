// The points by regl-scatterplot, which draws them and nothing more: pointer, keyboard, lasso and
// hovering are ours. It draws on a WebGL canvas that nobody sees and copies that to the stage.

import createScatterplot, { createRenderer, createSpatialIndex } from "regl-scatterplot";
import { type Camera, type Frame, scaleOf } from "./camera.ts";
import {
  drawingOrder,
  FAINT,
  LARGER,
  opacity,
  type Painter,
  pointSize,
  type Scene,
} from "./painter.ts";
import type { Rgb } from "./palette.ts";

/** Where points are that have no place: out of sight, however far one zooms out. */
const AWAY = 1e4;
/** In a flight the states are mixed too, and rounded down: this keeps them what they are. */
const KEPT = 0.3;

type Plot = ReturnType<typeof createScatterplot>;

/** Throws where there is no WebGL, or none that regl can use. */
export function createGlPainter(
  stage: HTMLCanvasElement,
  size: Frame,
  onLost: () => void,
): Painter {
  const hidden = document.createElement("canvas");
  Object.assign(hidden, { width: size.width, height: size.height });
  const gl = hidden.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
  if (!gl) throw new Error("there is no WebGL");
  const context = gl;
  hidden.addEventListener("webglcontextlost", lost);
  let frame = { width: 0, height: 0 };
  let zoom = 1;
  let drawn = { size: 0, count: 0 };
  let rows: number[][] = [];
  let order = new Uint32Array() as Uint32Array;
  let wanted: { scene: Scene; ms: number } | null = null;
  let busy = false;
  let ended = false;
  const parts = open();
  const { renderer, plot } = parts;
  // The plot would make a spatial index of all points at every drawing, which nobody would ask.
  const noIndex = createSpatialIndex([[0, 0]], false);
  return { kind: "webgl", show, look, end };

  function open(): { renderer: ReturnType<typeof createRenderer>; plot: Plot } {
    // What it would add to the page goes here instead.
    const nowhere = document.createElement("div");
    try {
      const renderer = createRenderer({ canvas: hidden });
      const plot = createScatterplot({
        renderer,
        canvas: stage,
        ...size,
        cameraIsFixed: true,
        deselectOnDblClick: false,
        deselectOnEscape: false,
        lassoOnLongPress: false,
        lassoInitiator: false,
        lassoInitiatorParentElement: nowhere,
        lassoLongPressIndicatorParentElement: nowhere,
        pointScaleMode: "constant",
        colorBy: "valueZ",
        opacityBy: "valueW",
        sizeBy: "valueW",
      });
      // Its listeners on window, for keys among others; a fixed camera needs none.
      plot.get("camera").dispose();
      return { renderer, plot };
    } catch (error) {
      release();
      throw error;
    }
  }

  function show(scene: Scene, ms: number): void {
    wanted = { scene, ms };
    if (!busy) void draw();
  }

  /** The newest scene; one that comes meanwhile is drawn after it. */
  async function draw(): Promise<void> {
    busy = true;
    const spatialIndex = await noIndex;
    while (wanted && !ended) {
      const { scene, ms } = wanted;
      wanted = null;
      const flight = ms > 0 && rows.length === scene.codes.length;
      fillRows(scene, flight);
      dress(scene);
      await plot.draw(rows, {
        zDataType: "categorical",
        wDataType: "categorical",
        preventFilterReset: true,
        spatialIndex,
        transition: flight,
        transitionDuration: ms,
      });
    }
    busy = false;
  }

  /** The plot wants a list for each point; they are made once. */
  function fillRows({ xy, codes, states }: Scene, flight: boolean): void {
    const count = codes.length;
    if (rows.length !== count) rows = Array.from({ length: count }, () => [0, 0, 0, 0]);
    // A flight goes from row to row: they must be the same points as before.
    if (!flight || order.length !== count) order = drawingOrder(count, states);
    for (let k = 0; k < count; k++) {
      const i = order[k] as number;
      const row = rows[k] as number[];
      const [x, y] = [xy[2 * i] as number, xy[2 * i + 1] as number];
      row[0] = Number.isNaN(x) ? AWAY : x;
      row[1] = Number.isNaN(y) ? AWAY : y;
      row[2] = codes[i] as number;
      row[3] = (states[i] as number) + KEPT;
    }
  }

  function dress({ codes, colours, background }: Scene): void {
    const strong = opacity(codes.length);
    drawn = { size: 0, count: codes.length };
    void plot.set({
      pointColor: colours.map(hex),
      backgroundColor: hex(background),
      opacity: [strong, 1, strong * FAINT, 0],
    });
    resize();
  }

  function resize(): void {
    const diameter = pointSize(drawn.count, zoom);
    if (Math.abs(diameter / drawn.size - 1) < 0.01) return;
    drawn.size = diameter;
    void plot.set({ pointSize: [diameter, diameter * LARGER, diameter, diameter] });
  }

  function look(camera: Camera, next: Frame): void {
    if (next.width !== frame.width || next.height !== frame.height) {
      frame = { ...next };
      renderer.resize(frame.width, frame.height);
      void plot.set({ ...frame });
    }
    zoom = camera.zoom;
    resize();
    // Clip coordinates: the plot has divided x by the aspect ratio already.
    const s = (2 * scaleOf(camera, frame)) / frame.height;
    const view = [s, 0, 0, 0, 0, s, 0, 0, 0, 0, 1, 0, -s * camera.x, -s * camera.y, 0, 1];
    plot.view(view, { preventEvent: true });
  }

  function lost(): void {
    if (!ended) onLost();
  }

  function end(): void {
    if (ended) return;
    ended = true;
    plot.destroy();
    renderer.destroy();
    release();
  }

  function release(): void {
    ended = true;
    hidden.removeEventListener("webglcontextlost", lost);
    // Browsers keep a few contexts alive: this one must not wait for the garbage collector.
    if (!context.isContextLost()) context.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function hex(rgb: Rgb): string {
  return `#${rgb.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
