/** The page itself, in a DOM without pixels. */

import { cleanupPage, press, settled, startPage, texts } from "./dom";
import { unzipSync } from "fflate";
import { afterEach, describe, expect, it, vi } from "vitest";

import { plain } from "../../src/draw/numbers";
import { HOSTILE_LABEL } from "../../src/engine/demo-models";
import { npzOfPage } from "../../src/page/downloads/save";
import { limitOfAll, readyPanels } from "../../src/page/stage/stage";

afterEach(cleanupPage);

describe("the page", () => {
  it("starts empty without a model, and says how to begin", async () => {
    const { root } = await startPage({ empty: true });
    expect(root.querySelector(".empty h2")?.textContent).toBe("Begin with a model");
    expect(texts(root, "button")).toContain("Add a model");
  });

  it("shows the prediction, its classes and its map in words", async () => {
    const { root } = await startPage({}, true);
    expect(root.querySelectorAll(".row")).toHaveLength(10);
    const map = root.querySelector('[aria-roledescription="relevance map"]');
    expect(map?.getAttribute("aria-label")).toMatch(/%, rank 1 of 46: for \+.*, against .*, in sum /);
    expect(root.querySelector(".remarks.none")).toBeNull();
  });

  it("takes a class by a click, a rival by a shift-click or its button, and swaps them", async () => {
    const { root, store } = await startPage({}, true);
    const [first, second, third] = [...root.querySelectorAll<HTMLButtonElement>(".row-main")];
    press(second);
    expect(store.view.targets).toHaveLength(1);
    press(first, { shiftKey: true });
    expect(store.view.rivals).toHaveLength(1);
    expect(third?.getAttribute("aria-pressed")).toBe("false");
    const target = store.view.targets;
    await settled();
    press(root.querySelector<HTMLElement>('[aria-label="Swap target and rival"]'));
    expect(store.view.rivals).toEqual(target);
    await settled();
    const rival = [...root.querySelectorAll<HTMLElement>('[aria-label^="Rival: "]')];
    expect(rival.filter((b) => b.getAttribute("aria-pressed") === "true")).toHaveLength(1);
    press(root.querySelector<HTMLElement>(".rival-chip button"));
    expect(store.view.rivals).toEqual([]);
  });

  it("keeps a label text, whatever it holds", async () => {
    const { root, store } = await startPage({}, true);
    store.dispatch({ type: "target", index: 45 });
    await settled();
    expect(root.querySelector("figcaption strong")?.textContent).toBe(HOSTILE_LABEL);
    expect([...root.querySelectorAll("img")].every((img) => img.src.startsWith("data:image/png"))).toBe(true);
  });

  it("warns where the class is not what the model predicts", async () => {
    const { root, store } = await startPage({}, true);
    expect(root.querySelector(".remarks")?.textContent ?? "").not.toMatch(/predicts/);
    store.dispatch({ type: "target", index: 45 });
    await settled();
    expect(texts(root, ".stage .remarks li").join()).toMatch(/has rank \d+ of 46; the model predicts /);
  });

  it("says the engine's sentence in an alert, and lets it be dismissed", async () => {
    const { root, store } = await startPage();
    store.tell("There is no rule for Foo.", "error");
    await settled();
    expect(root.querySelector('[role="alert"] span')?.textContent).toBe("There is no rule for Foo.");
    press(root.querySelector<HTMLElement>('[aria-label="Dismiss"]'));
    await settled();
    expect(root.querySelector('[role="alert"]')).toBeNull();
  });

  it("shows several methods on one scale", async () => {
    const { root, store } = await startPage({}, true);
    store.dispatch({ type: "set", values: { comparison: "methods" } });
    store.dispatch({ type: "toggle-method", name: "gradient" });
    await settled();
    const ends = texts(root, ".stage .numbers span:last-child");
    expect(ends).toHaveLength(2);
    expect(new Set(ends).size).toBe(1);
    expect(texts(root, ".stage .ends span:last-child").join()).toMatch(/speaks for .*,influence on /);
  });

  it("ends all colours at the largest limit, or at the locked one", async () => {
    const { root, store } = await startPage({}, true);
    const alone = async (index: number) => {
      store.dispatch({ type: "target", index });
      await settled();
      return limitOfAll(store, readyPanels(store));
    };
    const limits = [await alone(45), await alone(5)].sort((a, b) => a - b);
    const weaker = (await alone(45)) === limits[0] ? 45 : 5;
    store.dispatch({ type: "target", index: weaker });
    store.dispatch({ type: "beside", index: weaker === 45 ? 5 : 45, predicted: 0 });
    await settled();
    expect(limits[0]).toBeLessThan(limits[1] ?? 0);
    expect(texts(root, ".stage .numbers span:last-child")).toEqual(
      Array(2).fill(`+${plain(limits[1] ?? 0, 2)}`),
    );
    store.dispatch({ type: "set", values: { locked: 0.5 } });
    await settled();
    expect(texts(root, ".stage .numbers span:last-child")).toEqual(["+0.5", "+0.5"]);
  });

  it("hides what the engine does not offer", async () => {
    const { root, store } = await startPage({}, true);
    Object.assign(store.engine.abilities, { dropModel: false, changePreprocess: false, allLayers: false });
    store.openLayers(false);
    await settled();
    expect(texts(root, "button")).not.toContain("Add a model");
    expect(root.querySelector(".layers")).toBeNull();
    expect(root.querySelector(".preprocess select")).toBeNull();
  });

  it("draws the network, and a layer by its button", async () => {
    const { root, store } = await startPage({}, true);
    store.openLayers(true);
    await settled();
    const nodes = [...root.querySelectorAll<HTMLButtonElement>(".node")];
    expect(nodes[0]?.textContent).toMatch(/^Layer relu1: Conv, Relu, .*, sum /);
    expect(nodes.filter((node) => node.tabIndex === 0)).toHaveLength(1);
    press(nodes[0]);
    await settled();
    expect(store.view.layer).toBe("relu1");
    expect(root.querySelector(".layer-map strong")?.textContent).toBe("relu1");
    const files = unzipSync(new Uint8Array(await npzOfPage(store).arrayBuffer()));
    expect(Object.keys(files)).toEqual(["relevance.npy", "heatmap.npy", "scores.npy", "layer_relu1.npy"]);
  });

  it("writes nothing to the console", async () => {
    const said = vi.spyOn(console, "error");
    const { store } = await startPage({}, true);
    for (const comparison of ["methods", "models", "classes"] as const) {
      store.dispatch({ type: "set", values: { comparison } });
      await settled();
    }
    expect(said).not.toHaveBeenCalled();
  });
});

describe("inputs that are no photos", () => {
  it.each([
    ["signal", "svg.lines polyline", 398],
    ["table", ".bars li", 9],
    ["tokens", ".tokens li", 12],
    ["volume", ".stage input[type=range]", 1],
    ["image", ".stage .axes", 1],
    ["other", ".stage input[type=range]", 1],
  ])("are drawn: %s", async (kind, selector, count) => {
    const { root, store } = await startPage();
    await store.addModel(new File(["x"], `${kind}.onnx`), null);
    await store.addImage(new Blob(["x"]), { kind: "dropped", name: "x.npy" });
    await settled();
    expect(root.querySelectorAll(selector)).toHaveLength(count);
    expect(texts(root, ".stage .numbers span")[1]).toBe("0");
  });
});
