/** The classes with their scores: the first ten, or what a search finds among all. */

import { useState } from "preact/hooks";

import type { Answer, ModelFacts } from "../../engine/types";
import { MOST_HITS, nameOf, search, TOP, valueKind, valueWords } from "../state/classes";
import { useStore } from "../state/use-store";
import { Chosen } from "./chosen";

export function ClassList() {
  const store = useStore();
  const [words, setWords] = useState("");
  const { model, mainAnswer: answer } = store;
  if (!model || !answer) return null;
  const hits = search(model, answer.scores, words);
  const searching = words.trim() !== "";
  return (
    <section class="card classes" aria-labelledby="classes-title">
      <h2 id="classes-title">Classes</h2>
      <Chosen model={model} />
      <label class="field">
        <span>Search all {model.classes} classes</span>
        <input type="search" value={words} onInput={(event) => setWords(event.currentTarget.value)} />
      </label>
      <p class="soft" role="status">
        {searching
          ? hits.total > MOST_HITS
            ? `The first ${MOST_HITS} of ${hits.total} hits, by ${valueKind(model, answer)}.`
            : `${hits.total} ${hits.total === 1 ? "hit" : "hits"}, by ${valueKind(model, answer)}.`
          : `The first ${Math.min(TOP, model.classes)} by ${valueKind(model, answer)}. Click explains, shift-click makes a rival.`}
      </p>
      <ul class="rows">
        {hits.indices.map((index) => (
          <Row key={index} model={model} answer={answer} index={index} />
        ))}
      </ul>
    </section>
  );
}

/** Length of a bar: of probabilities as they are, of other scores between the lowest and the highest. */
export function barShare(answer: Answer, index: number): number {
  const probability = answer.probabilities?.[index];
  if (probability !== undefined) return probability;
  const low = answer.scores.reduce((a, b) => Math.min(a, b), 0);
  const high = answer.scores.reduce((a, b) => Math.max(a, b), -Infinity);
  return ((answer.scores[index] ?? low) - low) / (high - low || 1);
}

function Row({ model, answer, index }: { model: ModelFacts; answer: Answer; index: number }) {
  const store = useStore();
  const { targets, rivals } = store.view;
  const predicted = store.predicted ?? 0;
  const isTarget = targets.length > 0 ? targets.includes(index) : index === predicted;
  const isRival = rivals.includes(index);
  const name = nameOf(model, index);
  const value = valueWords(answer, index);
  const rival = () => store.dispatch({ type: "rival", index, predicted });
  const explain = (event: MouseEvent) => {
    if (event.shiftKey) rival();
    else store.dispatch({ type: "target", index });
  };
  return (
    <li class={`row${isTarget ? " target" : ""}${isRival ? " is-rival" : ""}`}>
      <button type="button" class="row-main" aria-pressed={isTarget} onClick={explain}>
        <span class="row-bar" style={{ width: `${100 * barShare(answer, index)}%` }} />
        <span class="unseen">Explain </span>
        <span class="row-name" title={name}>
          {name}
        </span>{" "}
        <span class="number">{value}</span>
      </button>
      <button
        type="button"
        class="small"
        aria-pressed={isRival}
        aria-label={`Rival: ${name}`}
        disabled={isTarget}
        onClick={rival}
      >
        rival
      </button>
      <button
        type="button"
        class="small"
        aria-pressed={targets.length > 1 && isTarget}
        aria-label={`Show beside: ${name}`}
        disabled={isTarget && targets.length < 2}
        onClick={() => store.dispatch({ type: "beside", index, predicted })}
      >
        beside
      </button>
    </li>
  );
}
