/** All panels, on one scale. */

import { useCallback, useState } from "preact/hooks";

import { sharedLimit } from "../../draw/limit";
import type { AnswerState } from "../state/answers";
import type { Panel } from "../state/panels";
import type { Store } from "../state/store";
import { useStore } from "../state/use-store";
import type { At } from "./gestures";
import { PanelView, type Shown } from "./panel";
import { drawingOf, limitOf } from "./scene";

export interface Ready {
  panel: Panel;
  shown: Shown;
}

/** Panels whose answer is there. */
export function readyPanels(store: Store): Ready[] {
  return store.panels.flatMap((panel) => {
    const answer = store.answers.answer(panel.request);
    const explained = answer?.explained[panel.place];
    return answer && explained ? [{ panel, shown: { answer, explained } }] : [];
  });
}

/** One limit for all that is shown, so that equal colours mean equal relevance. */
export function limitOfAll(store: Store, ready: Ready[]): number {
  const limits = ready.map(({ panel, shown }) =>
    limitOf(drawingOf(panel.model.kind, shown.explained), shown.explained, shown.answer.geometry),
  );
  return sharedLimit(limits, store.view.locked);
}

export function Stage() {
  const store = useStore();
  const [cursor, setCursor] = useState<At | null>(null);
  const onCursor = useCallback((at: At | null) => setCursor(at), []);
  const { panels } = store;
  const ready = readyPanels(store);
  const limit = limitOfAll(store, ready);
  if (panels.length === 0) return <Nothing />;
  return (
    <section class="stage" aria-label="Explanation">
      <div class={`panels of-${panels.length}`}>
        {panels.map((panel) => {
          const found = ready.find((one) => one.panel.key === panel.key);
          return found ? (
            <PanelView
              key={panel.key}
              panel={panel}
              shown={found.shown}
              limit={limit}
              cursor={cursor}
              onCursor={onCursor}
            />
          ) : (
            <Pending key={panel.key} title={panel.title} state={store.answers.get(panel.request)} />
          );
        })}
      </div>
    </section>
  );
}

function Pending({ title, state }: { title: string; state: AnswerState }) {
  const store = useStore();
  const progress = state.state === "waiting" ? state.progress : null;
  return (
    <div class="panel pending">
      <strong>{title}</strong>
      {state.state === "failed" ? (
        <div role="alert">
          <p>{state.says}</p>
          <button type="button" onClick={() => store.answers.forget(null)}>
            Try again
          </button>
        </div>
      ) : (
        <div role="status">
          <progress aria-label={progress?.says ?? "Explaining"} {...shareOf(progress?.share ?? null)} />
          <p>{progress?.says ?? "Explaining"} …</p>
        </div>
      )}
    </div>
  );
}

/** A bar without a value moves on its own. */
export function shareOf(share: number | null): { value?: number; max: number } {
  return share === null ? { max: 1 } : { value: share, max: 1 };
}

function Nothing() {
  const { model, models } = useStore();
  return (
    <section class="stage empty" aria-label="Explanation">
      <h2>{model ? "Choose a picture" : "Begin with a model"}</h2>
      <p>
        {model
          ? "Drop a photo anywhere on this page, paste one, or take a sample. The map of the predicted class appears here."
          : models.length === 0
            ? "Drop an .onnx classifier anywhere on this page, with its labels (.txt or .json) if you have them."
            : "Choose one of the models."}
      </p>
    </section>
  );
}
