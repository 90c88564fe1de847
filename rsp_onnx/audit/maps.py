"""The audit's stream: one photo at a time is explained, and only a small grid of each map is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.errors import RspError
from rsp_onnx.evaluate.datasets.annotated import Dataset, Item
from rsp_onnx.evaluate.metrics.localisation import share
from rsp_onnx.evaluate.metrics.protocol import Truth, on_photo, seen
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.classes import Choice, choose_hostile
from rsp_onnx.types import Array

from .grid import grid_of, looks_like_text


@dataclass(frozen=True)
class KeptMap:
    """What is kept of one map.

    Attributes
    ----------
    index : int
        The item's place in the dataset.
    grid : ndarray
        float32 [cells, cells], sum 1.
    inside : float or None
        Share of the positive relevance in the class's boxes, else its mask; None where neither is known. Boxes go
        first: relevance on an outline lies beside a thin object's own pixels.
    text : float
        How text-like the photo is where the relevance sits.
    """

    index: int
    key: str
    target: int
    score: float
    grid: Array
    inside: float | None
    text: float


@dataclass
class Stream:
    """Explains a dataset's photos for the classes that are on them.

    Attributes
    ----------
    wanted : set of int, optional
        Only these classes.
    broken : list
        (key, what is wrong) of items that cannot be used.
    empty : int
        Maps without positive relevance.
    """

    explainer: Explainer
    dataset: Dataset
    cells: int
    hostile: Choice = "auto"
    wanted: frozenset[int] | None = None
    broken: list[tuple[str, str]] = field(default_factory=list)
    empty: int = 0

    def each(self, index: int) -> Iterator[KeptMap]:
        """Yield what is kept of each map of an item; one that cannot be read is noted and passed over."""
        try:
            item = self.dataset[index]
            explanations = self._of_item(item)
        except RspError as error:
            self.broken.append((self.dataset.key(index), str(error)))
            return
        for one in explanations:
            kept = self._kept(index, item, one)
            self.empty += kept is None
            if kept is not None:
                yield kept

    def again(self, kept: KeptMap) -> Explanation:
        """Explain a map's photo once more, for a picture."""
        return next(one for one in self._of_item(self.dataset[kept.index]) if one.target == kept.target)

    def _of_item(self, item: Item) -> list[Explanation]:
        targets = [t for t in item.targets if self.wanted is None or t in self.wanted]
        if not targets:
            return []
        feeds = self.explainer.prepare(item.image)
        scores, kind = self.explainer.scores(feeds), self.explainer.score_kind(feeds)
        rivals = [choose_hostile(self.hostile, t, scores, kind, self.explainer.labels) for t in targets]
        return self.explainer.explain_each([feeds], [targets], [rivals])[0]

    def _kept(self, index: int, item: Item, explanation: Explanation) -> KeptMap | None:
        signed = find_method(self.explainer.method).signed  # without a sign all of it counts as positive
        heatmap = on_photo(explanation, seen(explanation, signed))
        grid = grid_of(heatmap, self.cells)
        if grid is None or explanation.photo is None:
            return None
        truth = Truth(item, explanation.target, explanation.photo.size)
        places = truth.boxes if truth.boxes is not None else truth.mask
        inside = None if places is None else float(share(heatmap, places))
        text = looks_like_text(explanation.photo, grid)
        return KeptMap(index, item.key, explanation.target, explanation.score, grid, inside, text)
