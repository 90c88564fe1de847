/** Classes: their names, ranks and likeness across models. */

import { percent, plain } from "../../draw/numbers";
import type { Answer, MethodFacts, ModelFacts } from "../../engine/types";

export const MOST_HITS = 50;
export const TOP = 10;

export function nameOf(model: ModelFacts | undefined, index: number): string {
  const label = model?.labels?.[index];
  return label !== undefined && label !== "" ? label : `class ${index}`;
}

export function namesOf(model: ModelFacts | undefined, indices: number[]): string {
  return indices.map((index) => nameOf(model, index)).join(", ");
}

/** Indices by falling score; equal scores keep their order. */
export function ranked(scores: Float32Array): number[] {
  return Array.from(scores.keys()).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
}

/** 1 for the highest score. */
export function rankOf(scores: Float32Array, index: number): number {
  const own = scores[index] ?? -Infinity;
  return 1 + scores.reduce((above, s, i) => above + Number(s > own || (s === own && i < index)), 0);
}

/** What the model predicts: the highest score. */
export function predictedOf(answer: Answer): number {
  const { scores } = answer;
  return scores.reduce((best, score, i) => (score > (scores[best] ?? -Infinity) ? i : best), 0);
}

/** "93.1 %" where the scores are known to be probabilities, "score 4.2" else. */
export function valueWords(answer: Answer, index: number): string {
  const probability = answer.probabilities?.[index];
  return probability === undefined ? plain(answer.scores[index] ?? 0) : percent(probability);
}

/** What the numbers of the class list are. */
export function valueKind(model: ModelFacts, answer: Answer): string {
  if (answer.probabilities) {
    return model.scoreKind === "sigmoid" ? "probability of each class alone" : "probability";
  }
  return model.scoreKind === "logits" ? "logit" : "score";
}

export interface Hits {
  indices: number[];
  /** All there are, of which the first are listed. */
  total: number;
}

/** Classes whose label or number has all the words that were typed, best score first. */
export function search(model: ModelFacts, scores: Float32Array, words: string): Hits {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const found = ranked(scores).filter((index) => {
    const text = `${index} ${nameOf(model, index)}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  return { indices: found.slice(0, wanted.length > 0 ? MOST_HITS : TOP), total: found.length };
}

/** The same class in another model: by its label where both have it, else by its number. */
export function sameClass(
  from: ModelFacts,
  to: ModelFacts,
  index: number,
): { index: number; by: "label" | "number" } | null {
  const label = from.labels?.[index]?.trim().toLowerCase();
  const found = label ? (to.labels ?? []).findIndex((one) => one.trim().toLowerCase() === label) : -1;
  if (found >= 0) return { index: found, by: "label" };
  return index < to.classes ? { index, by: "number" } : null;
}

/** What the two ends of a scale say. */
export interface Ends {
  negative: string;
  positive: string;
}

export function endsOf(method: MethodFacts | undefined, target: string, rivals: string): Ends {
  if (method && !method.signed) return { negative: "not used", positive: `influence on ${target}` };
  if (rivals !== "" && method?.compares) return { negative: `for ${rivals}`, positive: `for ${target}` };
  return { negative: `speaks against ${target}`, positive: `speaks for ${target}` };
}

/** The warning where the class that was asked for is not what the model predicts; null where it is. */
export function notPredicted(model: ModelFacts, answer: Answer, target: number): string | null {
  const rank = rankOf(answer.scores, target);
  if (rank === 1) return null;
  const predicted = predictedOf(answer);
  return (
    `${nameOf(model, target)} has rank ${rank} of ${answer.scores.length}; the model predicts ` +
    `${nameOf(model, predicted)} (${valueWords(answer, predicted)}).`
  );
}
