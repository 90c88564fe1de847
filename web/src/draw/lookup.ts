/** The value under the cursor. */

import type { Geometry, RelevanceMap } from "../engine/types";

export interface Point {
  x: number;
  y: number;
}

/** Value at a point of the photo (in its pixels from the upper left corner); null where the model never saw it. */
export function valueAt(map: RelevanceMap, geometry: Geometry, point: Point): number | null {
  const [height, width] = geometry.original;
  if (point.x < 0 || point.y < 0 || point.x >= width || point.y >= height) return null;
  const [left, top, right, bottom] = geometry.box;
  const [rows, columns] = geometry.tensor;
  const x = ((point.x - left) / (right - left)) * columns;
  const y = ((point.y - top) / (bottom - top)) * rows;
  if (x < 0 || y < 0 || x >= columns || y >= rows) return null;
  return bilinear(map.values, rows, columns, x - 0.5, y - 0.5);
}

/** The tensor pixel that a point of the photo falls in, [row, column]; null outside. */
export function pixelAt(geometry: Geometry, point: Point): [number, number] | null {
  const [left, top, right, bottom] = geometry.box;
  const [rows, columns] = geometry.tensor;
  const x = Math.floor(((point.x - left) / (right - left)) * columns);
  const y = Math.floor(((point.y - top) / (bottom - top)) * rows);
  return x < 0 || y < 0 || x >= columns || y >= rows ? null : [y, x];
}

function bilinear(values: Float32Array, rows: number, columns: number, x: number, y: number): number {
  const cx = Math.min(Math.max(x, 0), columns - 1);
  const cy = Math.min(Math.max(y, 0), rows - 1);
  const [x0, y0] = [Math.floor(cx), Math.floor(cy)];
  const [x1, y1] = [Math.min(x0 + 1, columns - 1), Math.min(y0 + 1, rows - 1)];
  const at = (row: number, column: number) => values[row * columns + column] ?? 0;
  const above = at(y0, x0) * (1 - (cx - x0)) + at(y0, x1) * (cx - x0);
  const below = at(y1, x0) * (1 - (cx - x0)) + at(y1, x1) * (cx - x0);
  return above * (1 - (cy - y0)) + below * (cy - y0);
}
