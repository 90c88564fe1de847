"""Two models, the same images: whose predictions flip, and whose explanations move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.checks.subject.similarity import coarse, similarities
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.classes import PRESENT, Choice, choose_hostile, choose_targets
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array, Record

from .classes import ClassPairs, pair_classes
from .layers import Profiles, ledger_channels, pair_rows

_FINEST = 256  # pixels of a compared map's longer side: finer ones are averaged first


@dataclass(frozen=True)
class Question:
    """What is asked of both models.

    Attributes
    ----------
    target, hostile : str, int or sequence
        As ``Explainer.explain`` takes them; decided by A's scores, in A's classes.
    offset : int, optional
        B's class = A's class + offset.
    """

    target: Choice = "auto"
    hostile: Choice = "auto"
    offset: int | None = None


class Comparison:
    """Compares two explainers image by image and keeps numbers, not maps."""

    def __init__(self, a: Explainer, b: Explainer, question: Question) -> None:
        self.a, self.b, self.question = a, b, question
        self.profiles = Profiles()
        self.pairs: ClassPairs | None = None

    def records(self, image: Path) -> list[Record]:
        """Return one record per target of an image."""
        feeds = self._prepare(image)
        scores = self.a.scores(feeds[0]), self.b.scores(feeds[1])
        if self.pairs is None:
            self.pairs = pair_classes(
                (scores[0].size, scores[1].size), (self.a.labels, self.b.labels), self.question.offset
            )
        kind = self.a.score_kind(feeds[0])
        records = []
        for target in choose_targets(self.question.target, scores[0], self.a.labels):
            hostile = choose_hostile(self.question.hostile, target, scores[0], kind, self.a.labels)
            one, other = self._both(feeds, target, hostile)
            self._add_profile(one, other, feeds)
            record: Record = {"image": str(image), "target": target, "label": label_of(target, self.a.labels)}
            record |= {"hostile": list(one.hostile), "score_a": one.score, "score_b": other.score}
            record |= flip(scores, self.pairs, kind == "sigmoid")
            record["changed_labels"] = [label_of(c, self.a.labels) for c in record["changed"]]
            before, after = (coarse(heatmap, _FINEST) for heatmap in common(one, other))
            records.append({**record, **similarities(after, before)})
        return records

    def maps(self, record: Mapping[str, Any]) -> tuple[Explanation, Explanation]:
        """Explain a record's image once more, for a picture."""
        feeds = self._prepare(Path(record["image"]))
        return self._both(feeds, record["target"], record["hostile"])

    def _prepare(self, image: Path) -> tuple[Feeds, Feeds]:
        return self.a.prepare(image), self.b.prepare(image)

    def _both(self, feeds: tuple[Feeds, Feeds], target: int, hostile: Sequence[int]) -> tuple[Explanation, Explanation]:
        """Explain by both models; hostile classes that B does not have are left out for both."""
        assert self.pairs is not None
        shared = [h for h in hostile if h in self.pairs.to_b]
        own = self.pairs.of(target), [self.pairs.to_b[h] for h in shared]
        one = self.a.explain_each([feeds[0]], [[target]], [[shared]])[0][0]
        return one, self.b.explain_each([feeds[1]], [[own[0]]], [[own[1]]])[0][0]

    def _add_profile(self, one: Explanation, other: Explanation, feeds: tuple[Feeds, Feeds]) -> None:
        if self.profiles.count == 0 and not self.profiles.pairs:
            names = list(one.ledger), list(other.ledger)
            sizes = ledger_channels(self.a, feeds[0], names[0]), ledger_channels(self.b, feeds[1], names[1])
            self.profiles.pairs, self.profiles.how = pair_rows(*names, sizes)
        self.profiles.add(one.ledger, other.ledger)


def common(one: Explanation, other: Explanation) -> tuple[Array, Array]:
    """Return both maps on one grid, float [H, W].

    Where both models see the photo through the same geometry, that is their input; else it is the original photo, of
    which the part is compared that at least one of them sees.

    Raises
    ------
    BadInput
        There is no photo, and the maps differ in size.
    """
    if one.heatmap.shape == other.heatmap.shape and one.geometry == other.geometry:
        return one.heatmap, other.heatmap
    if one.geometry is None or other.geometry is None:
        raise BadInput(
            f"The models' inputs have maps of {one.heatmap.shape} and {other.heatmap.shape}: tensors of two sizes "
            "cannot be laid on each other; give photographs."
        )
    seen = [g.visible for g in (one.geometry, other.geometry)]
    left, top = (math.floor(min(box[i] for box in seen)) for i in (0, 1))
    right, bottom = (math.ceil(max(box[i] for box in seen)) for i in (2, 3))
    part = np.s_[top:bottom, left:right]
    return one.heatmap_original[part], other.heatmap_original[part]


def flip(scores: tuple[Array, Array], pairs: ClassPairs, several: bool) -> Record:
    """Return what both models predict, in A's classes, and whether it flipped.

    Parameters
    ----------
    scores : pair of ndarray
        [classes] of A and of B.
    several : bool
        A multi-label model: the set of classes above one half must be the same, not the highest one.
    """
    tops = [int(np.argmax(s)) for s in scores]
    back = pairs.to_a.get(tops[1])
    predicted: Record = {"predicted_a": tops[0], "predicted_b": back, "predicted_b_own": tops[1]}
    if not several:
        both = [tops[0]] if back is None else [tops[0], back]
        return {**predicted, "flip": back != tops[0], "changed": both if back != tops[0] else []}
    changed = [a for a, b in pairs.to_b.items() if (scores[0][a] > PRESENT) != (scores[1][b] > PRESENT)]
    return {**predicted, "flip": bool(changed), "changed": changed}
