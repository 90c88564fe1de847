/** The network as a picture: which layers are one box, and where the boxes lie. Knows no page. */

import type { Family, Layer } from "../../engine/types";

/** Layers drawn as one box: one that computes, and what only acts on each of its entries or its shape. */
export interface Box {
  /** Indices of its layers, first to last. */
  layers: number[];
  /** Tensor whose map stands for the box; the last one that has a map. */
  tensor: string;
  title: string;
  family: Family;
  shape: (number | string | null)[];
  hasMap: boolean;
  where: Layer["where"];
  /** Boxes it reads. */
  reads: number[];
  x: number;
  y: number;
}

export interface Network {
  boxes: Box[];
  width: number;
  height: number;
}

export const BOX = { width: 176, height: 46, across: 200, down: 68 };

/** Collapse chains, then lay the boxes out from the top down by their longest path. */
export function networkOf(layers: Layer[]): Network {
  const groups = collapsed(layers);
  const boxOf = new Map(groups.flatMap((group, box) => group.map((layer) => [layer, box] as const)));
  const boxes = groups.map((group, box) => makeBox(layers, group, box, boxOf));
  const ranks = ranksOf(boxes);
  const taken = new Map<number, number>();
  boxes.forEach((box, i) => {
    const rank = ranks[i] ?? 0;
    const column = taken.get(rank) ?? 0;
    taken.set(rank, column + 1);
    box.x = column * BOX.across;
    box.y = rank * BOX.down;
  });
  const columns = Math.max(1, ...taken.values());
  const rows = ranks.reduce((a, b) => Math.max(a, b), 0) + 1;
  return { boxes, width: columns * BOX.across, height: rows * BOX.down };
}

/** A layer joins the one it reads where it does nothing else, and nobody else reads that one. */
function collapsed(layers: Layer[]): number[][] {
  const readers = new Map<number, number>();
  for (const { reads } of layers) for (const i of reads) readers.set(i, (readers.get(i) ?? 0) + 1);
  const groups: number[][] = [];
  const groupOf = new Map<number, number[]>();
  layers.forEach(({ family, reads }, i) => {
    const [only] = reads;
    const joins = reads.length === 1 && (family === "pointwise" || family === "shape");
    const group = joins && only !== undefined && readers.get(only) === 1 ? groupOf.get(only) : undefined;
    if (group) group.push(i);
    else groups.push([i]);
    groupOf.set(i, group ?? groups.at(-1) ?? []);
  });
  return groups;
}

function makeBox(layers: Layer[], group: number[], box: number, boxOf: Map<number, number>): Box {
  const members = group.map((i) => layers[i]).filter((layer): layer is Layer => layer !== undefined);
  const shown = members.findLast((layer) => layer.hasMap) ?? members.at(-1);
  const reads = members.flatMap((layer) => layer.reads.map((i) => boxOf.get(i) ?? box));
  return {
    layers: group,
    tensor: shown?.tensor ?? "",
    title: titleOf(members.map(({ op }) => op)),
    family: members[0]?.family ?? "other",
    shape: shown?.shape ?? [],
    hasMap: shown?.hasMap ?? false,
    where: shown?.where ?? "beside",
    reads: [...new Set(reads)].filter((i) => i !== box),
    x: 0,
    y: 0,
  };
}

/** "Conv, Relu": at most three ops, then how many more. */
function titleOf(ops: string[]): string {
  return ops.length <= 3 ? ops.join(", ") : `${ops.slice(0, 2).join(", ")} + ${ops.length - 2}`;
}

/** Length of the longest path to each box. Layers stand in an order in which they can be computed. */
function ranksOf(boxes: Box[]): number[] {
  const ranks: number[] = [];
  boxes.forEach(({ reads }, i) => {
    ranks[i] = reads.reduce((most, read) => Math.max(most, (ranks[read] ?? -1) + 1), 0);
  });
  return ranks;
}

/** A curve from the bottom of one box to the top of another. */
export function edgePath(from: Box, to: Box): string {
  const [x0, y0] = [from.x + BOX.width / 2, from.y + BOX.height];
  const [x1, y1] = [to.x + BOX.width / 2, to.y];
  const bend = (y1 - y0) / 2;
  const side = to.y - from.y > BOX.down && x0 === x1 ? BOX.width / 2 + 12 : 0; // round what lies between
  return `M${x0},${y0} C${x0 + side},${y0 + bend} ${x1 + side},${y1 - bend} ${x1},${y1}`;
}

/** Index of the box that a key leads to from another. */
export function stepped(boxes: Box[], from: number, key: string): number | null {
  switch (key) {
    case "ArrowDown":
    case "ArrowRight":
      return Math.min(boxes.length - 1, from + 1);
    case "ArrowUp":
    case "ArrowLeft":
      return Math.max(0, from - 1);
    case "Home":
      return 0;
    case "End":
      return boxes.length - 1;
    default:
      return null;
  }
}
