"""Which classes are explained and which are hostile: decided from the scores, outside the graph (RSP §2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from rsp_onnx.errors import BadTarget
from rsp_onnx.types import Array

from .labels import find_class

Choice: TypeAlias = "str | int | Sequence[str | int]"
PRESENT = 0.5  # a class of a multi-label model counts as present above this score
PREDICTED = -1  # in place of a class: the one with the highest score
RUNNER_UP, MOST_RUNNERS_UP = 0.05, 5


def probabilities(scores: Array, kind: str) -> Array:
    """Return scores [classes] as probabilities, whatever the model's last layer left out."""
    if kind in ("softmax", "sigmoid"):
        return scores
    if kind == "log-softmax":
        return np.asarray(np.exp(scores))
    shifted = np.exp(scores - scores.max())
    return np.asarray(shifted / shifted.sum())


def choose_targets(choice: Choice, scores: Array, labels: Sequence[str] | None) -> list[int]:
    """Return the target classes of one item.

    Parameters
    ----------
    choice : str, int or sequence
        ``auto`` (the highest score), an index, a label, ``topk:N``, or several of them.
    scores : ndarray
        [classes].
    """
    targets = [index for one in _several(choice) for index in _target(one, scores, labels)]
    return list(dict.fromkeys(targets))


def _several(choice: Choice) -> list[str | int]:
    if isinstance(choice, (str, int, np.integer)):
        return [choice if isinstance(choice, str) else int(choice)]
    several = list(choice)
    if not several:
        raise BadTarget("No target class was given; use 'auto', an index, a label or 'topk:N'.")
    return several


def _target(one: str | int, scores: Array, labels: Sequence[str] | None) -> list[int]:
    if one == "auto":
        return [int(np.argmax(scores))]
    if isinstance(one, str) and one.startswith("topk:"):
        word = one.removeprefix("topk:")
        if not word.isdecimal() or not 1 <= int(word) <= scores.size:
            raise BadTarget(f"{one!r} must be topk:N with N from 1 to {scores.size}.")
        return [int(i) for i in np.argsort(-scores, kind="stable")[: int(word)]]
    return [find_class(one, labels, scores.size)]


def asks_for_several(target: Choice) -> bool:
    """Tell whether a choice of targets is a list: a sequence or ``topk:N``."""
    if isinstance(target, str):
        return target.startswith("topk:")
    return not isinstance(target, (int, np.integer))


def needs_scores(target: Choice, hostile: Choice, kind: str) -> bool:
    """Tell whether a choice of targets and hostile classes depends on the model's scores."""
    words = {one for one in (*_several(target), *_several(hostile)) if isinstance(one, str)}
    present = kind == "sigmoid" and "auto" in _several(hostile)
    return present or "auto" in _several(target) or any(w == "runners-up" or w.startswith("topk:") for w in words)


def asks_for_predicted(target: Choice, hostile: Choice, kind: str) -> bool:
    """Tell of a choice that is the class with the highest score, against nothing that scores decide."""
    rivals = set(_several(hostile)) - {"none"}
    return _several(target) == ["auto"] and (not rivals or (rivals == {"auto"} and kind != "sigmoid"))


def choose_classes(
    target: Choice, hostile: Choice, scores: Array, kind: str, labels: Sequence[str] | None
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Return per item the targets, and per item and target the hostile classes; scores [N, classes]."""
    targets = [choose_targets(target, s, labels) for s in scores]
    rivals = [[choose_hostile(hostile, t, s, kind, labels) for t in ts] for ts, s in zip(targets, scores, strict=True)]
    return targets, rivals


def choose_hostile(choice: Choice, target: int, scores: Array, kind: str, labels: Sequence[str] | None) -> list[int]:
    """Return the hostile classes for one target of one item; never the target itself.

    Parameters
    ----------
    choice : str, int or sequence
        ``auto`` (other present classes of a multi-label model, else none), ``none``, ``runners-up`` (probability
        ≥ 0.05, at most 5), indices, labels.
    kind : str
        What the model does to its logits: ``sigmoid`` means multi-label.

    Raises
    ------
    BadTarget
        The only hostile class named is the target.
    """
    named = [index for one in _several(choice) for index in _hostile(one, target, scores, kind, labels)]
    hostile = [index for index in dict.fromkeys(named) if index != target]
    if named and not hostile:
        raise BadTarget(f"The hostile class {target} is the target itself; name another class, or 'none'.")
    return hostile


def _hostile(one: str | int, target: int, scores: Array, kind: str, labels: Sequence[str] | None) -> list[int]:
    if one == "none":
        return []
    order = [int(i) for i in np.argsort(-scores, kind="stable") if i != target]
    if one == "auto":
        return [i for i in order if scores[i] > PRESENT] if kind == "sigmoid" and scores.size > 1 else []
    if one == "runners-up":
        chance = probabilities(scores, kind)
        return [i for i in order if chance[i] >= RUNNER_UP][:MOST_RUNNERS_UP]
    return [find_class(one, labels, scores.size)]
