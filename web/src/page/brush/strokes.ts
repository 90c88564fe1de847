/** Paint as data: strokes of discs, what lies under them, and what they change in words. */

import { percent, signed } from "../../draw/numbers";
import type { Answer, Geometry, RelevanceMap } from "../../engine/types";
import { rankOf, valueWords } from "../state/classes";

export type Paint = "grey" | "blur" | "noise";

export interface Stroke {
  paint: Paint;
  /** In shares of the picture's shorter side. */
  radius: number;
  /** In shares of the picture. */
  points: { x: number; y: number }[];
}

export type BrushAction =
  | { type: "begin"; stroke: Stroke }
  | { type: "go"; x: number; y: number }
  | { type: "undo" }
  | { type: "reset" };

export function brushed(strokes: Stroke[], action: BrushAction): Stroke[] {
  switch (action.type) {
    case "begin":
      return [...strokes, action.stroke];
    case "go": {
      const last = strokes.at(-1);
      if (!last) return strokes;
      const longer = { ...last, points: [...last.points, { x: action.x, y: action.y }] };
      return [...strokes.slice(0, -1), longer];
    }
    case "undo":
      return strokes.slice(0, -1);
    case "reset":
      return [];
  }
}

export interface Disc {
  x: number;
  y: number;
  radius: number;
}

/** Discs of a stroke in pixels, so close that they leave no gap. */
export function discsOf(stroke: Stroke, width: number, height: number): Disc[] {
  const radius = stroke.radius * Math.min(width, height);
  const points = stroke.points.map(({ x, y }) => ({ x: x * width, y: y * height }));
  return points.flatMap((point, i) => {
    const from = points[i - 1] ?? point;
    const far = Math.hypot(point.x - from.x, point.y - from.y);
    const steps = Math.max(1, Math.ceil(far / Math.max(1, radius / 2)));
    return Array.from({ length: steps }, (_, k) => {
      const share = (k + 1) / steps;
      return { x: from.x + (point.x - from.x) * share, y: from.y + (point.y - from.y) * share, radius };
    });
  });
}

/** Share of what spoke for the class that lies under the paint, 0 to 1; 0 where nothing spoke for it. */
export function shareUnder(map: RelevanceMap, geometry: Geometry, strokes: Stroke[]): number {
  const [rows, columns] = geometry.tensor;
  const [height, width] = geometry.original;
  const [left, top, right, bottom] = geometry.box;
  const discs = strokes.flatMap((stroke) => discsOf(stroke, width, height));
  let [all, under] = [0, 0];
  map.values.forEach((value, i) => {
    if (value <= 0) return;
    const x = left + ((right - left) * ((i % columns) + 0.5)) / columns;
    const y = top + ((bottom - top) * (Math.floor(i / columns) + 0.5)) / rows;
    all += value;
    if (discs.some((disc) => Math.hypot(x - disc.x, y - disc.y) <= disc.radius)) under += value;
  });
  return all > 0 ? under / all : 0;
}

/** "93.1 % before, 12.0 % after; rank 1 before, 4 after." */
export function scoreWords(before: Answer, after: Answer, target: number): string {
  const [b, a] = [valueWords(before, target), valueWords(after, target)];
  const [rankBefore, rankAfter] = [rankOf(before.scores, target), rankOf(after.scores, target)];
  const score = signed((after.scores[target] ?? 0) - (before.scores[target] ?? 0));
  return `${b} before, ${a} after (score ${score}); rank ${rankBefore} before, ${rankAfter} after.`;
}

/** What changed in the map. */
export function mapWords(before: RelevanceMap, after: RelevanceMap, under: number): string {
  const sum = (map: RelevanceMap) => map.values.reduce((total, value) => total + value, 0);
  return (
    `The painted part held ${percent(under)} of what spoke for the class. ` +
    `The sum of the map was ${signed(sum(before))} and is ${signed(sum(after))}.`
  );
}
