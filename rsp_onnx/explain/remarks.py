"""What the reader of a map should know: whether the model means the class at all, and what a method did not do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsp_onnx.attribution.catalogue import MethodFacts
from rsp_onnx.inputs.classes import Choice
from rsp_onnx.inputs.labels import called
from rsp_onnx.parameters import PROBABILITIES
from rsp_onnx.types import Array

from .explanation import Explanation
from .pictures.heading import known_method

_FAR, _UNLIKELY = 5, 0.01  # a rank behind the first, or a probability below the second, is told
_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of the largest answer: changes below it are none
_CERTAIN, _IMPOSSIBLE = 1 - 1e-6, 1e-12  # beyond them float32 tells probabilities apart badly, or nobody cares


def remarks(explained: Explanation, named: Sequence[int], answers: Array | None) -> tuple[str, ...]:
    """Return what an explanation's reader should know, one sentence without its full stop each.

    Parameters
    ----------
    named : sequence of int
        The hostile classes asked for, whether the method knows rivals or not.
    answers : ndarray, optional
        float32 [3], of a black box: its answer to the unchanged input, the smallest and the largest to a changed one.
    """
    method = known_method(explained.method)
    found = (
        far_from_the_prediction(explained),
        _unused(explained, method, named),
        _unmoved(explained, method, answers),
    )
    return tuple(one for one in found if one)


def rivals_for(method: str, hostile: Choice) -> Choice:
    """Return the hostile classes to choose: none by default where a method knows no rivals."""
    several = [hostile] if isinstance(hostile, (str, int, np.integer)) else list(hostile)
    default = all(isinstance(one, str) and one in ("auto", "none") for one in several)
    return "none" if default and not known_method(method).compares else hostile


def far_from_the_prediction(explained: Explanation) -> str:
    """Say that the model does not mean the class asked for: empty where it does, or nearly."""
    if explained.is_predicted:
        return ""
    rank, chance = explained.rank, explained.probability
    if chance is None or (rank <= _FAR and chance >= _UNLIKELY):
        return ""
    return (
        f"{_target(explained)} is not what the model predicts: rank {rank} of {explained.scores.size}, "
        f"{explained.score_in_words}; predicted: {called(explained.predicted, explained.labels)}"
    )


def _target(explained: Explanation) -> str:
    return called(explained.target, explained.labels)


def _unused(explained: Explanation, method: MethodFacts, named: Sequence[int]) -> str:
    if method.compares or not named:
        return ""
    rivals = ", ".join(called(c, explained.labels) for c in named)
    return f"{method.name} knows no rivals, so the map is of the class alone and not against {rivals}"


def _unmoved(explained: Explanation, method: MethodFacts, answers: Array | None) -> str:
    """Say that a black box had nothing to see: the score is the same, whatever is covered."""
    if answers is None:
        return ""
    lowest, highest = float(answers.min()), float(answers.max())
    asked_for = bool(method.parameters.get(PROBABILITIES))
    probability = asked_for or explained.kind in ("softmax", "sigmoid")
    if probability and (lowest > _CERTAIN or highest < _IMPOSSIBLE):
        instead = f"{method.name} without {PROBABILITIES}=1" if asked_for and explained.kind == "logits" else _WALKS
        what = f"the probability of {_target(explained)} is saturated"
        return f"{what}: {highest:.0f} for every masked input; use {instead}"
    if highest - lowest > _ROUNDING * max(abs(lowest), abs(highest)):
        return ""
    what = f"the score of {_target(explained)} did not change under any mask"
    return f"{what}: try other masks, or another baseline than {method.parameters['baseline']:g}"


_WALKS = "a method that walks backward from the logit, such as rsp, or name the logits with --output (see inspect)"
