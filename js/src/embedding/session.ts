// What one view knows and wants: the points, where they are, how they are coloured, what is hidden,
// searched, selected, pointed at. The parts read it and listen; feed.ts asks the kernel for it.

import { type LayerChoice, layerChoice } from "../lib/layers/layer.ts";
import { createTopics } from "../lib/topics.ts";
import type { Shell } from "../lib/view.ts";
import { countOf } from "./bits.ts";
import { type Camera, type Frame, type Spot, toMap, WHOLE } from "./camera.ts";
import { createGrid, type Grid } from "./grid.ts";
import { type Colouring, colouring } from "./palette.ts";
import {
  type Column,
  coordinates,
  type Lapse,
  type MapMeta,
  NO_POINTS,
  numberOf,
  type Places,
  type Points,
} from "./points.ts";
import { type Polygon, pointsInside } from "./polygon.ts";
import { HIDDEN, states } from "./states.ts";

/** points: other points, or other columns; places: they lie elsewhere; run: what is known of the
 * map; colours; states: which are lit, dim, hidden; selection; select: it was changed here; camera;
 * hover: what is pointed at, pinned, near it; tool; maps: mean feature maps have come or gone; lapse;
 * settings; search. */
export type Topic =
  | "points"
  | "places"
  | "run"
  | "colours"
  | "states"
  | "selection"
  | "select"
  | "camera"
  | "hover"
  | "tool"
  | "maps"
  | "lapse"
  | "settings"
  | "search";

export type Tool = "pan" | "lasso" | "box";
/** How a lasso changes the selection. */
export type Mode = "replace" | "add" | "remove";
export type Method = "pca" | "tsne" | "umap" | "given";
export const METHODS: Record<Method, string> = {
  pca: "PCA",
  tsne: "t-SNE",
  umap: "UMAP",
  given: "as given",
};

const MANY = 200_000;

/** Neighbours of a point in the features. */
export interface Near {
  /** Whose; a point's number among all, like all here. */
  index: number;
  indices: number[];
  distances: number[];
  space: string;
}

export type Session = ReturnType<typeof createSession>;

export function createSession(shell: Shell) {
  const topics = createTopics<Topic>();
  const { on, emit } = topics;
  let grid: Grid | null = null;
  let ink: Colouring | null = null;
  let now: Uint8Array | null = null;
  const self = {
    shell,
    /** Every layer has features, also one without maps. */
    layers: { ...layerChoice(shell), usable: () => true } as LayerChoice,
    method: shell.trait<Method>("method"),
    perplexity: shell.trait<number>("perplexity"),
    iterations: shell.trait<number>("iterations"),
    colourBy: shell.trait<string>("colour_by"),
    points: NO_POINTS,
    places: null as Places | null,
    /** What is known of the map that was shown last. */
    meta: null as MapMeta | null,
    /** Iteration and KL divergence of the frames that were seen of the present run. */
    descent: [] as Array<readonly [number, number]>,
    /** The next change of places is a flight from the old ones. */
    flight: false,
    camera: WHOLE as Camera,
    frame: { width: 1, height: 1 } as Frame,
    hidden: new Set<number>(),
    /** The value that the legend points at. */
    legend: -1,
    /** One byte for each of all points. */
    found: null as Uint8Array | null,
    selection: new Uint8Array() as Uint8Array,
    selected: 0,
    hovered: -1,
    pinned: -1,
    near: null as Near | null,
    tool: "pan" as Tool,
    lapse: null as Lapse | null,
    /** More of the map is to come. */
    running: false,
    /** A step of the time-lapse is shown, not the map. */
    lapsing: false,
    on,
    emit,
    set,
    show,
    select,
    chosen,
    flags,
    point,
    pin,
    hide,
    only,
    pointLegend,
    search,
    look,
    at,
    placeOf,
    number: (i: number) => numberOf(self.points, i),
    visible: (i: number) => self.states[i] !== HIDDEN,
    get column(): Column | null {
      const { columns, first } = self.points;
      const wanted = self.colourBy.get() || first;
      return columns.find(({ key }) => key === wanted) ?? columns[0] ?? null;
    },
    get ink(): Colouring {
      ink ??= colouring(self.column, self.points.count);
      return ink;
    },
    get states(): Uint8Array {
      now ??= states({
        points: self.points,
        column: self.column,
        hidden: self.hidden,
        pointed: self.legend,
        found: self.found,
        selection: self.selected ? self.selection : null,
      });
      return now;
    },
    get grid(): Grid {
      grid ??= createGrid(self.places?.xy ?? new Float32Array(0));
      return grid;
    },
    /** What is pointed at, else what is pinned; -1: nothing. */
    get focus(): number {
      return self.hovered >= 0 ? self.hovered : self.pinned;
    },
  };
  const recolour = (before: Column | null = null): void => {
    ink = null;
    // What is hidden stays so while the values are the same, as after each epoch of training.
    if (!before || !alike(before, self.column)) self.hidden.clear();
    self.legend = -1;
    emit("colours");
    restate();
  };
  self.colourBy.on(() => recolour());
  for (const trait of [self.method, self.perplexity, self.iterations]) {
    (trait as { on(fn: () => void): void }).on(() => emit("settings"));
  }
  return self;

  /** Other points, or other columns of the same. */
  function set(points: Points): void {
    const other = points.total !== self.points.total || points.count !== self.points.count;
    const before = self.column;
    self.points = points;
    if (points.total !== self.selection.length) {
      self.selection = new Uint8Array(points.total);
      self.selected = 0;
    }
    if (other) {
      self.hovered = self.pinned = -1;
      self.places = self.meta = self.near = self.found = grid = null;
    }
    recolour(before);
    emit("points");
  }

  /** The points go to other places, in flight or at once. */
  function show(places: Places, flight: boolean): void {
    if (places.codes.length !== 2 * self.points.count) return;
    self.flight = flight && self.places !== null;
    self.places = places;
    grid = null;
    emit("places");
    self.flight = false;
  }

  function restate(): void {
    now = null;
    emit("states");
  }

  /** A point by its number among all; -1: it is not here. */
  function placeOf(number: number): number {
    const { index, count } = self.points;
    if (!index) return number < count ? number : -1;
    // A sample is sorted.
    let [low, high] = [0, index.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((index[middle] as number) < number) low = middle + 1;
      else high = middle;
    }
    return index[low] === number ? low : -1;
  }

  // -- selection --------------------------------------------------------------------------------

  /** Flags for all of these points, by their places here. */
  function flags(points: Iterable<number>): Uint8Array {
    const out = new Uint8Array(self.points.total);
    for (const i of points) out[numberOf(self.points, i)] = 1;
    return out;
  }

  /** Select what is flagged; the kernel is told by feed.ts. */
  function select(found: Uint8Array, mode: Mode = "replace"): void {
    const next = mode === "replace" ? new Uint8Array(self.points.total) : self.selection.slice();
    for (let i = 0; i < next.length; i++) if (found[i]) next[i] = mode === "remove" ? 0 : 1;
    chosen(next);
    emit("select");
  }

  /** The selection is this now; the kernel is not told. */
  function chosen(next: Uint8Array): void {
    self.selection = next;
    self.selected = countOf(next);
    restate();
    emit("selection");
  }

  // -- pointing ---------------------------------------------------------------------------------

  function point(i: number): void {
    if (i === self.hovered) return;
    self.hovered = i;
    focus();
  }

  function pin(i: number): void {
    self.pinned = i === self.pinned ? -1 : i;
    focus();
  }

  function focus(): void {
    if (self.focus < 0 || self.near?.index !== numberOf(self.points, self.focus)) self.near = null;
    emit("hover");
  }

  /** The visible point at a pixel of the stage. */
  function at(pixel: Spot, reach: number): number {
    const { x, y } = toMap(pixel, self.camera, self.frame);
    const beside = toMap({ x: pixel.x + reach, y: pixel.y }, self.camera, self.frame);
    return self.grid.nearest(x, y, beside.x - x, self.visible);
  }

  // -- what is seen -----------------------------------------------------------------------------

  function hide(code: number): void {
    if (!self.hidden.delete(code)) self.hidden.add(code);
    restate();
  }

  /** Show this value alone; again: all. */
  function only(code: number): void {
    const others = [...(self.column?.values.keys() ?? []), 65535].filter((each) => each !== code);
    const alone = !self.hidden.has(code) && others.every((each) => self.hidden.has(each));
    self.hidden = new Set(alone ? [] : others);
    restate();
  }

  function pointLegend(code: number): void {
    // Of a million points a frame takes too long to follow the pointer.
    if (code === self.legend || self.points.count > MANY) return;
    self.legend = code;
    restate();
  }

  function search(found: Uint8Array | null): void {
    self.found = found;
    restate();
    emit("search");
  }

  function look(camera: Camera): void {
    self.camera = camera;
    emit("camera");
  }
}

function alike(one: Column, two: Column | null): boolean {
  return one.key === two?.key && one.values.join("\n") === two.values.join("\n");
}

/** The visible points in a polygon of the data's own measure. */
export function lassoed({ places, points, visible }: Session, polygon: Polygon): number[] {
  if (!places || polygon.length < 6) return [];
  const flags = pointsInside(polygon, points.count, (i, at) => coordinates(places, i, at));
  const found: number[] = [];
  for (let i = 0; i < flags.length; i++) if (flags[i] && visible(i)) found.push(i);
  return found;
}
