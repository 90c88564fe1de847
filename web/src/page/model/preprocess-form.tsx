/** How a photo becomes the input: presets, every value, and what the model sees. */

import { useEffect, useRef, useState } from "preact/hooks";

import type { ModelFacts, Preprocess } from "../../engine/types";
import { useStore } from "../state/use-store";
import { changesOf, fieldsOf, type Fields } from "./preprocess-fields";

export const PRESETS = ["imagenet-torch", "imagenet-caffe", "imagenet-tf", "unit", "raw"];

interface Props {
  model: ModelFacts;
  preprocess: Preprocess;
}

export function PreprocessForm({ model, preprocess }: Props) {
  const store = useStore();
  const standard = JSON.stringify(preprocess);
  return (
    <section class="preprocess" aria-labelledby="preprocess-title">
      <h3 id="preprocess-title">Preprocessing</h3>
      <p class="soft">
        {preprocess.name || "own values"}, {sourceWords(preprocess.source)}. A wrong one makes wrong scores
        and maps.
      </p>
      <Preview model={model} version={standard} />
      {store.engine.abilities.changePreprocess && (
        <>
          <label class="field">
            <span>Preset</span>
            <select
              value={PRESETS.includes(preprocess.name) ? preprocess.name : ""}
              onChange={(event) => {
                if (event.currentTarget.value) void store.setPreprocess(model.id, event.currentTarget.value);
              }}
            >
              <option value="">own values</option>
              {PRESETS.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <details>
            <summary>Change single values</summary>
            <Values key={standard} model={model} preprocess={preprocess} />
          </details>
        </>
      )}
    </section>
  );
}

function sourceWords(source: string): string {
  const known: Record<string, string> = {
    file: "from the file beside the model",
    metadata: "from the model's own metadata",
    guessed: "guessed",
    given: "as you gave it",
  };
  return known[source] ?? source;
}

function Values({ model, preprocess }: Props) {
  const store = useStore();
  const [fields, setFields] = useState<Fields>(fieldsOf(preprocess));
  const [says, setSays] = useState("");
  const put = (name: keyof Fields) => (event: { currentTarget: { value: string } }) =>
    setFields({ ...fields, [name]: event.currentTarget.value });
  const apply = (event: Event) => {
    event.preventDefault();
    const { values, error } = changesOf(fields);
    setSays(error);
    if (error === "") void store.setPreprocess(model.id, values);
  };
  return (
    <form class="values" onSubmit={apply}>
      {TEXTS.map(([name, words]) => (
        <label key={name} class="field">
          <span>{words}</span>
          <input value={fields[name]} onInput={put(name)} />
        </label>
      ))}
      {CHOICES.map(([name, words, options]) => (
        <label key={name} class="field">
          <span>{words}</span>
          <select value={fields[name]} onChange={put(name)}>
            {options.map((option) => (
              <option key={option} value={option}>
                {option || "the model's own"}
              </option>
            ))}
          </select>
        </label>
      ))}
      {says !== "" && <p role="alert">{says}</p>}
      <button type="submit">Apply</button>
    </form>
  );
}

const TEXTS: [keyof Fields, string][] = [
  ["size", "Height × width (empty: the model's own)"],
  ["scale", "Scale: factor of pixels 0 to 255"],
  ["mean", "Mean, one or one per channel"],
  ["std", "Standard deviation"],
  ["crop_fraction", "Part that a crop keeps"],
  ["pad_value", "Value of margins"],
];

const CHOICES: [keyof Fields, string, string[]][] = [
  ["channels", "Channels", ["", "RGB", "BGR", "L", "RGBA"]],
  ["resize", "Resizing", ["stretch", "crop", "pad"]],
  ["interpolation", "Interpolation", ["bilinear", "bicubic", "nearest", "lanczos", "box"]],
];

/** The photo as the model gets it. */
function Preview({ model, version }: { model: ModelFacts; version: string }) {
  const store = useStore();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [says, setSays] = useState("");
  const image = store.image?.facts.id;
  useEffect(() => {
    let gone = false;
    const show = async () => {
      if (image === undefined) return;
      try {
        const pixels = await store.engine.preview(model.id, image);
        const shown = canvas.current;
        if (gone || !shown) return;
        shown.width = pixels.width;
        shown.height = pixels.height;
        shown.getContext("2d")?.putImageData(pixels, 0, 0);
        setSays(`${pixels.width} × ${pixels.height} pixels`);
      } catch (error) {
        if (!gone) setSays(error instanceof Error ? error.message : String(error));
      }
    };
    void show();
    return () => {
      gone = true;
    };
  }, [model.id, image, version]);
  if (image === undefined) return null;
  return (
    <figure class="preview">
      <canvas ref={canvas} width={1} height={1} role="img" aria-label="The picture as the model gets it" />
      <figcaption class="soft">What the model sees{says && `: ${says}`}</figcaption>
    </figure>
  );
}
