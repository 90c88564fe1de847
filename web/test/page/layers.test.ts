import { describe, expect, it } from "vitest";

import type { Family, Layer } from "../../src/engine/types";
import { BOX, edgePath, networkOf, stepped } from "../../src/page/layers/layout";

const FAMILIES: Record<string, Family> = {
  Conv: "convolution",
  Gemm: "dense",
  MaxPool: "pooling",
  Add: "merging",
};

function layer(op: string, reads: number[], hasMap = true): Layer {
  const family = FAMILIES[op] ?? "pointwise";
  return {
    tensor: `${op}${reads.join("")}`,
    op,
    node: op,
    shape: [1],
    reads,
    where: "features",
    hasMap,
    family,
  };
}

describe("the network", () => {
  it("draws chains of pointwise ops as one box, whose map is the last", () => {
    const { boxes } = networkOf([layer("Conv", []), layer("BatchNormalization", [0]), layer("Relu", [1])]);
    expect(boxes).toHaveLength(1);
    expect(boxes[0]).toMatchObject({
      title: "Conv, BatchNormalization, Relu",
      tensor: "Relu1",
      layers: [0, 1, 2],
      family: "convolution",
      reads: [],
    });
  });

  it("does not join where another layer reads as well", () => {
    const { boxes } = networkOf([layer("Conv", []), layer("Relu", [0]), layer("Add", [0, 1])]);
    expect(boxes.map((b) => b.title)).toEqual(["Conv", "Relu", "Add"]);
    expect(boxes[2]?.reads).toEqual([0, 1]);
  });

  it("shows the last tensor that has a map", () => {
    const { boxes } = networkOf([layer("Gemm", []), layer("Softmax", [0], false)]);
    expect(boxes[0]).toMatchObject({ tensor: "Gemm", hasMap: true });
  });

  it("lies by the longest path, and branches beside each other", () => {
    // 0 -> 1 -> 2 -> 4 and 0 -> 3 -> 4
    const network = networkOf([
      layer("Conv", []),
      layer("Conv", [0]),
      layer("MaxPool", [1]),
      layer("MaxPool", [0]),
      layer("Add", [2, 3]),
    ]);
    const places = network.boxes.map((b) => [b.x / BOX.across, b.y / BOX.down]);
    expect(places).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 1],
      [0, 3],
    ]);
    expect(network).toMatchObject({ width: 2 * BOX.across, height: 4 * BOX.down });
  });

  it("bears thousands of layers, and none", () => {
    const many = Array.from({ length: 3000 }, (_, i) => layer("Conv", i ? [i - 1] : []));
    expect(networkOf(many).boxes).toHaveLength(3000);
    expect(networkOf([]).boxes).toEqual([]);
  });

  it("draws skips round what lies between", () => {
    const { boxes } = networkOf([layer("Conv", []), layer("Conv", [0]), layer("Add", [0, 1])]);
    const [first, second, sum] = boxes;
    if (!first || !second || !sum) throw new Error("three boxes");
    expect(edgePath(first, second)).toBe("M88,46 C88,57 88,57 88,68");
    expect(edgePath(first, sum)).toBe("M88,46 C188,91 188,91 88,136");
  });

  it("is walked with arrow keys", () => {
    const { boxes } = networkOf([layer("Conv", []), layer("Conv", [0]), layer("Conv", [1])]);
    const to = (from: number, key: string) => stepped(boxes, from, key);
    expect([to(0, "ArrowDown"), to(0, "ArrowUp"), to(2, "ArrowRight"), to(0, "End"), to(2, "Home")]).toEqual([
      1, 0, 2, 2, 0,
    ]);
    expect(to(0, "a")).toBeNull();
  });
});
