import { render } from "preact";

import { EngineError, type Engine } from "../engine/types";
import { App } from "./app";
import { ownHash } from "./state/link";
import { openPicture } from "./state/picture";
import { Store } from "./state/store";
import "../style/look.css";
import "../style/page.css";

/** The engines, each loaded only where it is asked for. */
const ENGINES: Record<string, (() => Promise<{ openEngine: () => Promise<Engine> }>) | undefined> = {
  server: () => import("../engine/server"),
  browser: () => import("../engine/browser"),
  none: () => import("../engine/demo"),
};

async function openEngine(): Promise<Engine> {
  const text = document.getElementById("engine")?.textContent ?? "";
  const { engine = "none" } = JSON.parse(text) as { engine?: string };
  const load = ENGINES[engine];
  if (!load)
    throw new EngineError(`This page asks for the engine “${engine}”, which there is not: build it again.`);
  return (await load()).openEngine();
}

async function start(place: HTMLElement): Promise<void> {
  const engine = await openEngine();
  const store = new Store(engine, openPicture);
  render(<App store={store} />, place);
  await store.start(location.hash);
  keepAddress(store);
}

/** The address always restores what is seen; the view of a link that is followed here is shown. */
function keepAddress(store: Store): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const write = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const hash = ownHash(location.hash, store.link);
      if (hash !== location.hash) history.replaceState(null, "", hash);
    }, 250); // browsers refuse an address that changes with every move of the hand
  };
  write();
  store.subscribe(write);
  window.addEventListener("hashchange", () => {
    if (location.hash !== ownHash(location.hash, store.link)) void store.start(location.hash);
  });
}

const place = document.getElementById("page");
if (place) {
  start(place).catch((error: unknown) => {
    render(<p role="alert">{error instanceof Error ? error.message : String(error)}</p>, place);
  });
}
