/** Lines of equal relevance: one set for what speaks for the class, one for what speaks against it. */

import { contours as marching } from "d3-contour";

import type { Plane } from "./lay";

export interface Contour {
  /** Signed share of the limit. */
  share: number;
  /** Closed lines in the plane's pixels; a pixel's centre is at .5. */
  rings: [number, number][][];
}

export const SHARES = [0.2, 0.4, 0.6, 0.8];

/** Contours of a plane at shares of the limit that are not below the threshold. */
export function contoursOf(plane: Plane, limit: number, threshold = 0): Contour[] {
  const shares = SHARES.filter((share) => share >= threshold);
  return [...ofOneSign(plane, limit, shares, 1), ...ofOneSign(plane, limit, shares, -1)];
}

function ofOneSign(plane: Plane, limit: number, shares: number[], sign: 1 | -1): Contour[] {
  const values = Array.from(plane.values, (value) => sign * value);
  const make = marching().size([plane.width, plane.height]).smooth(true);
  return shares
    .map((share) => ({ share: sign * share, rings: ringsOf(make.contour(values, share * limit)) }))
    .filter(({ rings }) => rings.length > 0);
}

function ringsOf(shape: { coordinates: number[][][][] }): [number, number][][] {
  return shape.coordinates.flat().map((ring) => ring.map(([x = 0, y = 0]): [number, number] => [x, y]));
}

/** The rings as the `d` of an SVG path, scaled. */
export function pathOf(rings: [number, number][][], scale = 1): string {
  const point = ([x, y]: [number, number]) => `${(x * scale).toFixed(1)},${(y * scale).toFixed(1)}`;
  return rings.map((ring) => `M${ring.map(point).join("L")}Z`).join("");
}
