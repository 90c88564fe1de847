import type { ModelFacts } from "../../engine/types";
import { nameOf } from "../state/classes";
import { useStore } from "../state/use-store";
import { targetsOf } from "../state/view";

/** What is explained and against whom, as chips that can be taken away. */
export function Chosen({ model }: { model: ModelFacts }) {
  const store = useStore();
  const predicted = store.predicted ?? 0;
  const { view } = store;
  const targets = targetsOf(view, predicted);
  const compares = model.methods.find(({ name }) => name === view.method)?.compares ?? false;
  return (
    <div class="chosen">
      <Chips
        title={view.targets.length === 0 ? "explained, as predicted" : "explained"}
        kind="target-chip"
        model={model}
        indices={targets}
        remove={
          targets.length > 1 ? (index) => store.dispatch({ type: "beside", index, predicted }) : undefined
        }
      />
      <Chips
        title={compares || view.rivals.length === 0 ? "against" : "against (not by this method)"}
        kind="rival-chip"
        model={model}
        indices={view.rivals}
        remove={(index) => store.dispatch({ type: "rival", index, predicted })}
      />
      <div class="buttons">
        <button
          type="button"
          aria-label="Swap target and rival"
          disabled={view.rivals.length === 0}
          onClick={() => store.dispatch({ type: "swap", predicted })}
        >
          Swap
        </button>
        <button
          type="button"
          disabled={view.targets.length === 0}
          onClick={() => store.dispatch({ type: "predicted" })}
        >
          As predicted
        </button>
      </div>
    </div>
  );
}

interface ChipsProps {
  title: string;
  kind: string;
  model: ModelFacts;
  indices: number[];
  remove: ((index: number) => void) | undefined;
}

function Chips({ title, kind, model, indices, remove }: ChipsProps) {
  return (
    <div class="chips">
      <span class="soft">{title}</span>
      <ul>
        {indices.length === 0 && <li class="chip none">nobody</li>}
        {indices.map((index) => {
          const name = nameOf(model, index);
          return (
            <li key={index} class={`chip ${kind}`}>
              <span title={name}>{name}</span>
              {remove && (
                <button type="button" aria-label={`Remove ${name}`} onClick={() => remove(index)}>
                  ×
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
