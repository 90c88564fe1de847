/** Files: arrays against numpy's own bytes (`numpy.json`), figures against their layout. */

import { unzipSync } from "fflate";
import { describe, expect, it } from "vitest";

import { cut, figureOf, pictureHeight, type FigurePanel, type Head } from "../../src/page/downloads/figure";
import { npy, npz } from "../../src/page/downloads/npy";
import { escaped, svgOf } from "../../src/page/downloads/render";
import numpy from "./numpy.json";

const head: Head = { title: "dog against cat", lines: ["a.onnx", "b.png"], limit: 0.5, palette: "red-blue" };
const panel: FigurePanel = {
  title: "dog",
  line: "93.1 %",
  ends: { negative: "for cat", positive: "for dog" },
  canvas: null,
  rows: [Float32Array.of(0.5, -0.25, 0)],
};

describe("arrays", () => {
  it.each(numpy)("are what numpy writes for the shape $shape", ({ shape, bytes }) => {
    const count = shape.reduce((product, n) => product * n, 1);
    const values = Float32Array.from({ length: count }, (_, i) => i * 0.5 - 1);
    expect(Buffer.from(npy({ shape, values })).toString("base64")).toBe(bytes);
  });

  it("refuse a shape that does not fit", () => {
    expect(() => npy({ shape: [2, 2], values: new Float32Array(3) })).toThrow(
      "3 values has not the shape 2 × 2",
    );
  });

  it("lie in a zip under their names", () => {
    const array = { shape: [2], values: Float32Array.of(1, 2) };
    const files = unzipSync(npz({ relevance: array, scores: array }));
    expect(Object.keys(files)).toEqual(["relevance.npy", "scores.npy"]);
    expect(files["scores.npy"]).toEqual(npy(array));
  });
});

describe("a figure", () => {
  it("has two columns for four panels and a row for up to three", () => {
    const width = (count: number) => figureOf(head, Array<FigurePanel>(count).fill(panel)).width;
    expect([1, 2, 3, 4].map(width)).toEqual([528, 1032, 1536, 1032]);
  });

  it("keeps all inside, with bars on both sides of zero", () => {
    const figure = figureOf(head, [panel, panel, panel, panel]);
    for (const item of figure.items) {
      expect(item.x).toBeGreaterThanOrEqual(0);
      expect(item.y).toBeGreaterThanOrEqual(0);
      expect(item.y).toBeLessThanOrEqual(figure.height);
    }
    const [up, down] = figureOf(head, [panel])
      .items.filter((item) => item.kind === "rect")
      .slice(1);
    expect(up).toMatchObject({ height: 40, colour: "rgb(145 0 24)" });
    expect(down?.y).toBe((up?.y ?? 0) + 40);
  });

  it("keeps the shape of a picture", () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 960, height: 480 });
    expect(pictureHeight({ ...panel, canvas })).toBe(240);
  });

  it("is an SVG whose words are text, whatever the label", () => {
    const label = '<img src=x onerror="alert(1)">&\u0000';
    const text = svgOf(figureOf({ ...head, title: label }, [{ ...panel, title: label }]));
    const page = new DOMParser().parseFromString(text, "image/svg+xml");
    expect(page.querySelector("parsererror")).toBeNull();
    expect(page.querySelectorAll("img")).toHaveLength(0);
    expect(page.querySelector("title")?.textContent).toBe('<img src=x onerror="alert(1)">& ');
    expect(text).toContain("for dog");
    expect(text).toContain('fill="url(#red-blue)"');
  });

  it("escapes and cuts", () => {
    expect(escaped(`a<b>&"c"\u0007`)).toBe("a&lt;b&gt;&amp;&quot;c&quot; ");
    expect(cut("a long label that does not fit", 54, 10)).toBe("a long la…");
    expect(cut("short", 54, 10)).toBe("short");
  });
});
