/** What scores mean: Python's `probabilities`. */

import type { ModelFacts } from "./types";

/** The scores as probabilities; null where nothing says what they are, or one logit stands alone. */
export function probabilitiesOf(scores: Float32Array, kind: ModelFacts["scoreKind"]): Float32Array | null {
  switch (kind) {
    case "softmax":
    case "sigmoid":
      return scores;
    case "log-softmax":
      return scores.map(Math.exp);
    case "logits":
      return scores.length < 2 ? null : softmax(scores);
    case "":
      return null;
  }
}

function softmax(scores: Float32Array): Float32Array {
  const most = Math.max(...scores);
  const shares = Float64Array.from(scores, (score) => Math.exp(score - most));
  const sum = shares.reduce((total, share) => total + share, 0);
  return Float32Array.from(shares, (share) => share / sum);
}
