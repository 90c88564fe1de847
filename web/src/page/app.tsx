import { BrushCard } from "./brush/brush";
import { ClassList } from "./classes/class-list";
import { Downloads } from "./downloads/downloads";
import { LayerView } from "./layers/layer-view";
import { ModelCard } from "./model/model-card";
import { About } from "./parts/about";
import { Compare } from "./parts/compare";
import { Controls } from "./parts/controls";
import { DropEverywhere, Intake } from "./parts/intake";
import { Notices } from "./parts/notices";
import { ThemeSwitch } from "./parts/theme";
import { Stage } from "./stage/stage";
import type { Store } from "./state/store";
import { StoreContext, useStore } from "./state/use-store";

export function App({ store }: { store: Store }) {
  return (
    <StoreContext.Provider value={store}>
      <Page />
    </StoreContext.Provider>
  );
}

function Page() {
  const store = useStore();
  const { model, image } = store;
  return (
    <>
      <a class="skip" href="#explanation" onClick={toExplanation}>
        To the explanation
      </a>
      <header class="top">
        <h1>
          rsp-onnx <span class="soft">what speaks for a class</span>
        </h1>
        <ThemeSwitch />
      </header>
      <Notices />
      <main class={model ? "columns" : "columns begin"} data-palette={store.view.palette}>
        {model && (
          <div class="left">
            <Intake />
          </div>
        )}
        <div class="middle">
          <div class="centre" id="explanation" tabIndex={-1}>
            <Stage />
          </div>
          {model && image && (
            <div class="tools">
              <Controls />
              <BrushCard />
              <LayerView />
              <Downloads />
            </div>
          )}
        </div>
        <div class="right">
          <ClassList />
        </div>
        <div class="side">
          {image && <Compare />}
          <ModelCard />
        </div>
      </main>
      <About />
      <footer class="soft">
        {store.engine.says}
        {store.mainAnswer && ` Last answer: ${store.mainAnswer.provider}, ${timeOf(store)}.`}
      </footer>
      <DropEverywhere />
    </>
  );
}

function timeOf(store: Store): string {
  return `${Math.round(store.mainAnswer?.milliseconds ?? 0)} ms`;
}

/** The address holds the view, so the link must not change it. */
function toExplanation(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("explanation")?.focus();
}
