/** What stands beside each other: classes, methods, or two models. */

import type { ModelFacts } from "../../engine/types";
import { useStore } from "../state/use-store";
import { MOST_PANELS, type Comparison } from "../state/view";
import { Choice } from "./controls";

export function Compare() {
  const store = useStore();
  const { view, model, models, edited } = store;
  if (!model) return null;
  const options: [Comparison, string][] = [
    ["classes", "Classes"],
    ...(model.methods.length > 1 ? [["methods", "Methods"] as [Comparison, string]] : []),
    ...(models.length > 1 ? [["models", "Models"] as [Comparison, string]] : []),
    ...(edited ? [["brush", "Painted"] as [Comparison, string]] : []),
  ];
  const choose = (comparison: Comparison) => {
    const other = models.find(({ id }) => id !== model.id)?.id ?? null;
    if (comparison === "models" && view.other === null) store.dispatch({ type: "other", id: other });
    else store.dispatch({ type: "set", values: { comparison } });
  };
  return (
    <section class="card compare" aria-labelledby="compare-title">
      <h2 id="compare-title">Method and comparison</h2>
      <div class="beside">
        <MethodChoice model={model} />
        {options.length > 1 && (
          <Choice
            legend="Beside each other"
            name="comparison"
            options={options}
            value={view.comparison}
            choose={choose}
          />
        )}
      </div>
      {view.comparison === "methods" && <MethodList model={model} />}
      {view.comparison === "models" && <OtherModel />}
    </section>
  );
}

function MethodChoice({ model }: { model: ModelFacts }) {
  const store = useStore();
  const method = model.methods.find(({ name }) => name === store.view.method);
  return (
    <div class="method">
      <label class="field">
        <span>Method</span>
        <select
          value={store.view.method}
          onChange={(event) => store.dispatch({ type: "method", name: event.currentTarget.value })}
        >
          {model.methods.map(({ name, title }) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </label>
      {method && (
        <p class="soft">
          {method.paper}. {method.compares ? "Holds the class against its rivals." : "Knows no rivals."}
        </p>
      )}
    </div>
  );
}

function MethodList({ model }: { model: ModelFacts }) {
  const store = useStore();
  const { view } = store;
  const chosen = view.methods.length > 0 ? view.methods : [view.method];
  return (
    <fieldset class="checks">
      <legend>Up to {MOST_PANELS} methods for the same class</legend>
      {model.methods.map(({ name, title }) => (
        <label key={name} class="check">
          <input
            type="checkbox"
            checked={chosen.includes(name)}
            disabled={!chosen.includes(name) && chosen.length >= MOST_PANELS}
            onChange={() => store.dispatch({ type: "toggle-method", name })}
          />
          <span>{title}</span>
        </label>
      ))}
    </fieldset>
  );
}

function OtherModel() {
  const store = useStore();
  const { view, models } = store;
  return (
    <label class="field">
      <span>The other model</span>
      <select
        value={view.other ?? ""}
        onChange={(event) => store.dispatch({ type: "other", id: event.currentTarget.value })}
      >
        {models
          .filter(({ id }) => id !== view.model)
          .map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
      </select>
    </label>
  );
}
