/** What is drawn of a map: computed once per map, since sliders and zoom change none of it. */

import { layOnPhoto, shrunk, type Plane } from "../../draw/lay";
import { colourLimit } from "../../draw/limit";
import { limitOfPlane } from "../../draw/paint";
import { smooth } from "../../draw/smooth";
import type { Explained, Geometry, Kind, RelevanceMap } from "../../engine/types";

export interface Scene {
  map: RelevanceMap;
  /** Lays the map on the photo; where there is none, on itself. */
  geometry: Geometry;
  /** The map on the photo, at most `LONGEST` pixels long. */
  plane: Plane;
  limit: number;
}

/** How a map is drawn. */
export type Drawing = "picture" | "lines" | "bars" | "tokens" | "volume";

const MOST_LINES = 12; // channels that have a line each, as in Python

export function drawingOf(kind: Kind, explained: Explained): Drawing {
  const axes = explained.heatmap.shape.length;
  if (kind === "tokens" && axes === 1) return "tokens";
  if (kind === "signal" && linesOf(explained) !== null) return "lines";
  if (axes === 3) return "volume";
  return axes === 2 ? "picture" : "bars";
}

/** Channels of a signal, [C, T]; null where there are too many for a line each. */
export function linesOf(explained: Explained): RelevanceMap | null {
  const [channels = 0, length = 0] = explained.relevance.shape;
  if (explained.relevance.shape.length === 2 && channels <= MOST_LINES) return explained.relevance;
  if (explained.heatmap.shape.length === 1) {
    return { shape: [1, explained.heatmap.shape[0] ?? length], values: explained.heatmap.values };
  }
  return null;
}

const scenes = new WeakMap<RelevanceMap, Map<string, Scene>>();
const soft = new WeakMap<Plane, Plane>();

export function sceneOf(map: RelevanceMap, geometry: Geometry | null): Scene {
  const whole = geometry ?? ownGeometry(map);
  const key = JSON.stringify(whole);
  const known = scenes.get(map) ?? new Map<string, Scene>();
  scenes.set(map, known);
  const scene = known.get(key) ?? makeScene(map, whole);
  known.set(key, scene);
  return scene;
}

function makeScene(map: RelevanceMap, geometry: Geometry): Scene {
  const plane = layOnPhoto(map, shrunk(geometry));
  return { map, geometry, plane, limit: limitOfPlane(plane) };
}

/** A map without a photo is a picture by itself. */
function ownGeometry({ shape }: RelevanceMap): Geometry {
  const [height = 1, width = 1] = shape;
  return { original: [height, width], tensor: [height, width], box: [0, 0, width, height] };
}

export function softOf(plane: Plane): Plane {
  const known = soft.get(plane) ?? smooth(plane);
  soft.set(plane, known);
  return known;
}

/** One slice of a volume [D, H, W], sharing its memory. */
const slices = new WeakMap<RelevanceMap, RelevanceMap[]>();

export function sliceOf(map: RelevanceMap, index: number): RelevanceMap {
  const known = slices.get(map) ?? cut(map);
  slices.set(map, known);
  return known[Math.min(index, known.length - 1)] ?? map;
}

function cut({ shape, values }: RelevanceMap): RelevanceMap[] {
  const [depth = 1, height = 1, width = 1] = shape.slice(-3);
  const size = height * width;
  return Array.from({ length: depth }, (_, i) => ({
    shape: [height, width],
    values: values.subarray(i * size, (i + 1) * size),
  }));
}

const limits = new WeakMap<Explained, number>();

/** The limit of one explanation alone; tables and tokens end at their largest, as in Python. */
export function limitOf(drawing: Drawing, explained: Explained, geometry: Geometry | null): number {
  const limit = limits.get(explained) ?? findLimit(drawing, explained, geometry);
  limits.set(explained, limit);
  return limit;
}

function findLimit(drawing: Drawing, explained: Explained, geometry: Geometry | null): number {
  if (drawing === "picture") return sceneOf(explained.heatmap, geometry).limit;
  if (drawing === "lines") return colourLimit(linesOf(explained)?.values ?? explained.heatmap.values);
  return colourLimit(explained.heatmap.values, drawing === "volume" ? 99.5 : 100);
}
