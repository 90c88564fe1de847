/** What was understood of the model, where that came from, and ways to correct it. */

import { useState } from "preact/hooks";

import { bytes, shapeWords } from "../../draw/numbers";
import type { ModelFacts } from "../../engine/types";
import { FileButton } from "../parts/intake";
import { useStore } from "../state/use-store";
import { PreprocessForm } from "./preprocess-form";

export function ModelCard() {
  const store = useStore();
  const { model, models } = store;
  const wide = typeof matchMedia === "function" && matchMedia("(min-width: 1000px)").matches;
  const [open, setOpen] = useState(wide);
  return (
    <section class="card model" aria-labelledby="model-title">
      <h2 id="model-title">Model</h2>
      {models.length > 0 && (
        <label class="field">
          <span>Explained model</span>
          <select value={model?.id ?? ""} onChange={(event) => store.openModel(event.currentTarget.value)}>
            {models.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
      )}
      {model?.refused && (
        <p class="notice error" role="alert">
          {model.refused}
        </p>
      )}
      {store.engine.abilities.dropModel && (
        <div class="buttons">
          <FileButton words="Add a model" label="model" accept=".onnx,.txt,.json" />
          {model && <FileButton words="Labels" label="labels" accept=".txt,.json" />}
        </div>
      )}
      {model && (
        <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>What was understood</summary>
          <Facts model={model} />
          {model.preprocess && <PreprocessForm model={model} preprocess={model.preprocess} />}
        </details>
      )}
    </section>
  );
}

function Facts({ model }: { model: ModelFacts }) {
  const store = useStore();
  const scores = model.scoreKind === "" ? "of unknown kind" : model.scoreKind;
  return (
    <>
      <dl class="facts">
        <dt>File</dt>
        <dd>
          {bytes(model.bytes)}, {model.producer}
          <br />
          <span class="soft" title={model.sha256}>
            sha256 {model.sha256.slice(0, 12)}…
          </span>
        </dd>
        <dt>{model.inputs.length === 1 ? "Input" : "Inputs"}</dt>
        {model.inputs.map(({ name, dtype, shape, explained }) => (
          <dd key={name}>
            {name}: {dtype}, {shapeWords(shape)}
            {explained ? "" : " (not explained)"}
          </dd>
        ))}
        <dt>Scores</dt>
        <dd>
          {model.classes} classes, {scores}
        </dd>
        <dt>Labels</dt>
        <dd>{model.labels ? model.labelsSource || "from the file" : "none: classes go by number"}</dd>
        <dt>Kind</dt>
        <dd>{model.kind}</dd>
      </dl>
      {model.warnings.length > 0 && (
        <ul class="remarks">
          {model.warnings.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      )}
      {store.engine.abilities.dropModel && (
        <button type="button" onClick={() => void store.removeModel(model.id)}>
          Remove this model
        </button>
      )}
    </>
  );
}
