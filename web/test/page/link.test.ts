/** Links and files of a view: they restore it, and what is broken is said. */

import { describe, expect, it } from "vitest";

import { demoModel } from "../../src/engine/demo-models";
import { fromLink, ownHash, shareable, toLink } from "../../src/page/state/link";
import { blobOf, fromJson, isSaved, toJson, uriOf } from "../../src/page/state/saved";
import { START, type View } from "../../src/page/state/view";

const labels = Array.from({ length: 20 }, (_, i) => `class ${i}`);
const models = [demoModel("a", "first.onnx", labels), demoModel("b", "second: é&#.onnx", labels)];
const view: View = {
  ...START,
  model: "b",
  other: "a",
  method: "gradient",
  methods: ["gradient", "rsp"],
  targets: [3, 5],
  rivals: [1, 2],
  comparison: "models",
  mode: "contours",
  opacity: 0.35,
  threshold: 0.2,
  palette: "blue-orange",
  locked: 0.125,
  zoom: { scale: 2, x: 0.4, y: 0.6 },
  layer: "conv2",
  slice: 4,
};

function says(hash: string): string[] {
  return fromLink(hash, models)?.says ?? [];
}

describe("the token of a server", () => {
  it("is no view, stays in this browser's address, and is in no link for others", () => {
    expect(fromLink("#token=abc", models)).toBeNull();
    expect(fromLink("#v=1&mode=map&token=abc", models)).toMatchObject({ view: { mode: "map" }, says: [] });
    expect(ownHash("#token=a%2Bc", "#v=1")).toBe("#v=1&token=a%2Bc");
    expect(ownHash("#v=1&mode=map", "#v=1")).toBe("#v=1");
    const address = "http://localhost:8000/page/?token=abc&x=1#v=1&token=abc";
    expect(shareable(address, "#v=1&mode=map")).toBe("http://localhost:8000/page/?x=1#v=1&mode=map");
  });
});

describe("a link", () => {
  it("restores every setting", () => {
    const source = { kind: "sample", name: "red: and & blue" } as const;
    const restored = fromLink(toLink(view, models, source), models);
    expect(restored).toEqual({ view, source, says: [] });
  });

  it("is short at the start, and none is no link", () => {
    expect(toLink(START, models, null)).toBe("#v=1");
    expect(fromLink("", models)).toBeNull();
    expect(fromLink("#", models)).toBeNull();
  });

  it("names models by their hash, wherever the engine has them", () => {
    const moved = models.map((model) => ({ ...model, id: `new ${model.id}` }));
    expect(fromLink(toLink(view, models, null), moved)?.view.model).toBe("new b");
  });

  it("asks for what it cannot hold", () => {
    const dropped = toLink(view, models, { kind: "dropped", name: "dog.png" });
    expect(says(dropped)).toEqual(["A link holds no picture: drop dog.png again to see what was seen."]);
    const other = fromLink(toLink(view, models, null), []);
    expect(other?.view.model).toBeNull();
    expect(other?.says[0]).toMatch(
      /^The link is about the model second: é&#.onnx \(sha256 .{12}…\): drop its file here\.$/,
    );
  });

  it.each([
    ["v=9", "another version"],
    ["nonsense", "another version"],
    ["v=1&opacity=x", "The link's opacity “x” is no number that fits"],
    ["v=1&opacity=7", "“7” is no number that fits"],
    ["v=1&threshold=", "“” is no number that fits"],
    ["v=1&limit=-1", "“-1” is no number that fits"],
    ["v=1&mode=3d", "The link's mode “3d” is not known; overlay is shown."],
    ["v=1&palette=<b>", "palette “<b>” is not known"],
    ["v=1&zoom=1,b,c", "zoom cannot be read"],
    [`v=1&model=${models[0]?.sha256 ?? ""}&targets=1,99`, "are no classes of the model, which has 20"],
    [`v=1&model=${models[0]?.sha256 ?? ""}&rivals=-1`, "are no classes of the model"],
    [`v=1&model=${models[0]?.sha256 ?? ""}&layer=zz`, "names the layer zz"],
    [`v=1&model=${models[0]?.sha256 ?? ""}&method=zz`, "method “zz” is not known"],
    [`v=1&model=${models[0]?.sha256 ?? ""}&methods=zz,rsp`, "methods zz are not known"],
  ])("says what is wrong in %s", (hash, words) => {
    expect(says(`#${hash}`).join(" ")).toContain(words);
  });

  it("never crashes", () => {
    for (const hash of [
      "#%",
      "#%E0%A4%A",
      "#v=1&model=:::&zoom=,,&targets=,,,&image=:",
      "#v=1&v=2&slice=1e400",
    ]) {
      expect(() => fromLink(hash, models)).not.toThrow();
    }
  });
});

describe("a file", () => {
  it("holds the picture, byte by byte", async () => {
    const blob = new Blob([Uint8Array.of(0, 127, 128, 255)], { type: "image/png" });
    const text = toJson(toLink(view, models, null), { name: "dog.png", uri: await uriOf(blob) });
    expect(isSaved(text)).toBe(true);
    const { restored, saved } = fromJson(text, models);
    expect(restored?.view).toEqual(view);
    const back = blobOf(saved.image?.uri ?? "");
    expect(back.type).toBe("image/png");
    expect(Array.from(new Uint8Array(await back.arrayBuffer()))).toEqual([0, 127, 128, 255]);
  });

  it("does not ask to drop the picture that it holds", () => {
    const link = toLink(view, models, { kind: "dropped", name: "dog.png" });
    const image = { name: "dog.png", uri: "data:image/png;base64,AA==" };
    expect(fromJson(toJson(link, image), models).restored?.says).toEqual([]);
  });

  it("follows no address", () => {
    const text = toJson("#v=1", { name: "x", uri: "https://example.org/x.png" });
    expect(fromJson(text, models).saved.image).toBeNull();
  });

  it("is told from labels, and a broken one is refused", () => {
    expect(isSaved('["cat", "dog"]')).toBe(false);
    expect(isSaved('{"0": "cat"}')).toBe(false);
    for (const text of ["{", '{"kind": "rsp-onnx view"}', "null", "[1]"]) {
      expect(() => fromJson(text, models)).toThrow("The file of a view is broken");
    }
  });
});
