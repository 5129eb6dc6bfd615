// Which part of the map is seen. The map is the square from -1 to 1, y upwards; a camera has a
// place in its middle and a zoom, 1 of which shows all of it.

import { clamp } from "../lib/small.ts";

export interface Camera {
  x: number;
  y: number;
  zoom: number;
}

/** CSS pixels of what shows the map. */
export interface Frame {
  width: number;
  height: number;
}

export interface Spot {
  x: number;
  y: number;
}

export const WHOLE: Readonly<Camera> = { x: 0, y: 0, zoom: 1 };
const CLOSEST = 5000;
/** The share of the shorter side that the map takes: points at its border are seen whole. */
const FILL = 0.94;

/** Pixels a unit of the map. */
export function scaleOf({ zoom }: Camera, { width, height }: Frame): number {
  return (FILL * zoom * Math.min(width, height)) / 2;
}

export function toScreen(spot: Spot, camera: Camera, frame: Frame): Spot {
  const scale = scaleOf(camera, frame);
  return {
    x: frame.width / 2 + (spot.x - camera.x) * scale,
    y: frame.height / 2 - (spot.y - camera.y) * scale,
  };
}

export function toMap(pixel: Spot, camera: Camera, frame: Frame): Spot {
  const scale = scaleOf(camera, frame);
  return {
    x: camera.x + (pixel.x - frame.width / 2) / scale,
    y: camera.y - (pixel.y - frame.height / 2) / scale,
  };
}

/** Moved by pixels; the middle stays on the map. */
export function panned(camera: Camera, dx: number, dy: number, frame: Frame): Camera {
  const scale = scaleOf(camera, frame);
  return {
    x: clamp(camera.x - dx / scale, -1, 1),
    y: clamp(camera.y + dy / scale, -1, 1),
    zoom: camera.zoom,
  };
}

/** Zoomed; what is at the pixel stays there. */
export function zoomed(camera: Camera, by: number, pixel: Spot, frame: Frame): Camera {
  const zoom = clamp(camera.zoom * by, 0.5, CLOSEST);
  const held = toMap(pixel, camera, frame);
  const scale = scaleOf({ ...camera, zoom }, frame);
  return {
    x: clamp(held.x - (pixel.x - frame.width / 2) / scale, -1, 1),
    y: clamp(held.y + (pixel.y - frame.height / 2) / scale, -1, 1),
    zoom,
  };
}

/** The corners of what is seen. */
export function seen(camera: Camera, frame: Frame): readonly [number, number, number, number] {
  const scale = scaleOf(camera, frame);
  const [dx, dy] = [frame.width / 2 / scale, frame.height / 2 / scale];
  return [camera.x - dx, camera.y - dy, camera.x + dx, camera.y + dy];
}
