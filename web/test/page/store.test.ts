/** What the page does, on the demonstration engine. */

import { beforeEach, describe, expect, it } from "vitest";

import { DemoEngine } from "../../src/engine/demo";
import { paintPicture } from "../../src/engine/demo-pictures";
import { addFiles } from "../../src/page/state/intake";
import { toJson } from "../../src/page/state/saved";
import { Store } from "../../src/page/state/store";

const decode = () => Promise.resolve(paintPicture("red and blue", 64, 48));
let store: Store;

function fresh(options: ConstructorParameters<typeof DemoEngine>[0] = {}): Store {
  return new Store(new DemoEngine({ decode, ...options }), () => Promise.resolve(null));
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5));
}

const photo = (name = "dog.png") => new File(["x"], name, { type: "image/png" });

beforeEach(async () => {
  store = fresh();
  await store.start("");
});

describe("the store", () => {
  it("opens the first model and waits for a picture", () => {
    expect(store.model?.name).toBe("colours.onnx");
    expect(store.panels).toEqual([]);
  });

  it("explains what is predicted, then what is asked for", async () => {
    await addFiles(store, [photo()]);
    await settled();
    const { predicted } = store;
    expect(predicted).not.toBeNull();
    expect(store.answers.answer(store.panels[0]?.request as never)?.explained[0]?.target).toBe(predicted);
    store.dispatch({ type: "target", index: 5 });
    expect(store.predicted).toBe(predicted); // the class list stays while the next answer is computed
    await settled();
    expect(store.mainAnswer?.explained[0]?.target).toBe(5);
  });

  it("swaps the signs with target and rival", async () => {
    await addFiles(store, [photo()]);
    store.dispatch({ type: "target", index: 0 });
    store.dispatch({ type: "rival", index: 5, predicted: 0 });
    await settled();
    const before = store.mainAnswer?.explained[0]?.heatmap.values ?? new Float32Array(0);
    store.dispatch({ type: "swap", predicted: 0 });
    await settled();
    const after = store.mainAnswer?.explained[0]?.heatmap.values ?? new Float32Array(0);
    expect(before.some((value) => value !== 0)).toBe(true);
    expect(Array.from(after)).toEqual(Array.from(before, (value) => -value || 0));
  });

  it("takes a model with its labels, and labels alone", async () => {
    await addFiles(store, [new File(["m"], "new.onnx"), new File(["cat\ndog"], "labels.txt")]);
    expect(store.model).toMatchObject({ name: "new.onnx", labels: ["cat", "dog"] });
    await addFiles(store, [new File(["Katze\nHund"], "german.txt")]);
    expect(store.model?.labels).toEqual(["Katze", "Hund"]);
  });

  it("says the engine's sentence when it refuses", async () => {
    await addFiles(store, [new File(["m"], "broken.onnx")]);
    expect(store.notices.map((n) => [n.kind, n.says])).toEqual([
      ["error", "broken.onnx is no ONNX model: it cannot be parsed. Export it again."],
    ]);
    expect(store.busy).toBeNull();
    store.dismiss(store.notices[0]?.id ?? -1);
    expect(store.notices).toEqual([]);
  });

  it("refuses labels without a model, and models where the engine takes none", async () => {
    const empty = fresh({ empty: true });
    await empty.start("");
    await addFiles(empty, [new File(["cat"], "labels.txt")]);
    expect(empty.notices[0]?.says).toMatch(/^Labels belong to a model/);
    Object.assign(store.engine.abilities, { dropModel: false });
    await addFiles(store, [new File(["m"], "new.onnx")]);
    expect(store.notices[0]?.says).toMatch(/takes no other/);
  });

  it("says that one picture of several is shown", async () => {
    await addFiles(store, [photo("a.png"), photo("b.png")]);
    expect(store.image?.source.name).toBe("a.png");
    expect(store.notices[0]?.says).toMatch(/first of 2/);
  });

  it("restores a view with its sample from the link", async () => {
    await store.takeSample({ name: "green field", url: "data:image/png;base64,AA==" });
    store.dispatch({ type: "target", index: 3 });
    store.dispatch({ type: "set", values: { locked: 0.5, palette: "blue-orange" } });
    const other = fresh();
    await other.start(store.link);
    expect(other.view).toEqual(store.view);
    expect(other.image?.source).toEqual({ kind: "sample", name: "green field" });
    expect(other.link).toBe(store.link);
  });

  it("restores a view with its picture from a file", async () => {
    store.dispatch({ type: "target", index: 3 });
    const text = toJson(store.link, { name: "dog.png", uri: "data:image/png;base64,AAEC" });
    const other = fresh();
    await other.start("");
    await addFiles(other, [new File([text], "view.json")]);
    expect(other.view.targets).toEqual([3]);
    expect(other.image).toMatchObject({ source: { name: "dog.png" } });
    await addFiles(other, [new File(['{"kind": "rsp-onnx view"}'], "bad.json")]);
    expect(other.notices.at(-1)?.says).toMatch(/^The file of a view is broken/);
  });

  it("opens the last of two pictures that come at once", async () => {
    let first: () => void = () => undefined;
    const late = new Promise<null>((resolve) => (first = () => resolve(null)));
    const slow = new Store(new DemoEngine({ decode }), (blob) =>
      blob.size === 3 ? late : Promise.resolve(null),
    );
    await slow.start("");
    const big = addFiles(slow, [new File(["big"], "a.png", { type: "image/png" })]);
    await addFiles(slow, [photo("b.png")]);
    first();
    await big;
    expect(slow.image?.source.name).toBe("b.png");
  });

  it("asks about layers only while they are looked at", async () => {
    await addFiles(store, [photo()]);
    expect(store.layerRequest).toBeNull();
    store.openLayers(true);
    store.dispatch({ type: "set", values: { layer: "conv3" } });
    await settled();
    const request = store.layerRequest;
    expect(request).toMatchObject({ tensors: ["conv3"], ledger: true });
    const explained = request && store.answers.answer(request)?.explained[0];
    expect(explained && Object.keys(explained.layers)).toEqual(["conv3"]);
    expect(explained?.ledger.length).toBe(store.model?.layers.length);
  });

  it("goes back to the picture when the paint is taken away or another comes", async () => {
    await addFiles(store, [photo()]);
    await store.addEdited(new Blob(["x"], { type: "image/png" }));
    await settled();
    expect(store.panels.map((p) => p.title)).toEqual(["before", "after painting"]);
    store.clearEdited();
    expect([store.view.comparison, store.panels.length]).toEqual(["classes", 1]);
    await store.addEdited(new Blob(["x"], { type: "image/png" }));
    await addFiles(store, [photo("next.png")]);
    expect([store.view.comparison, store.edited]).toEqual(["classes", null]);
  });

  it("asks again after other preprocessing", async () => {
    await addFiles(store, [photo()]);
    await settled();
    await store.setPreprocess("a", "raw");
    expect(store.model?.preprocess).toMatchObject({ name: "raw", source: "given" });
    await settled();
    expect(store.mainAnswer).not.toBeNull();
  });

  it("removes a model, and shows what is left", async () => {
    store.dispatch({ type: "other", id: "b" });
    await store.removeModel("b");
    expect(store.view).toMatchObject({ model: "a", other: null, comparison: "classes" });
    await store.removeModel("a");
    expect(store.model).toBeUndefined();
  });
});
