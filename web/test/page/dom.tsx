/** A page in a document, for tests. */

import { render } from "preact";
import { vi } from "vitest";

import { DemoEngine, type DemoOptions } from "../../src/engine/demo";
import { paintPicture } from "../../src/engine/demo-pictures";
import { App } from "../../src/page/app";
import { Store } from "../../src/page/state/store";

const decode = () => Promise.resolve(paintPicture("red and blue", 64, 48));

/** Draw the page; with a picture where `image` says so. */
export async function startPage(options: DemoOptions = {}, image = false) {
  const root = document.createElement("div");
  document.body.append(root);
  const store = new Store(new DemoEngine({ decode, ...options }), () => Promise.resolve(null));
  render(<App store={store} />, root);
  await store.start("");
  if (image) await store.addImage(new Blob(["x"], { type: "image/png" }), { kind: "dropped", name: "a.png" });
  await settled();
  return { root, store };
}

/** Until answers have come and the page is drawn. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 4; i += 1) await new Promise((resolve) => setTimeout(resolve, 4));
}

export function press(element: HTMLElement | null | undefined, keys: MouseEventInit = {}): void {
  if (!element) throw new Error("There is nothing to press.");
  element.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ...keys }));
}

export function texts(root: Element, selector: string): string[] {
  return [...root.querySelectorAll(selector)].map((element) => element.textContent.trim());
}

export function cleanupPage(): void {
  for (const root of [...document.body.children]) render(null, root);
  document.body.replaceChildren();
  vi.restoreAllMocks();
}
