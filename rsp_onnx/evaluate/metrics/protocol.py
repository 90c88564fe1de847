"""What a metric is: what it measures of one map, and how the rows of a run become a figure with an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from rsp_onnx.evaluate.datasets.annotated import Item
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array

Direction = Literal["higher", "lower"]
Rows = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Truth:
    """Where a class is in a photo, in the photo's own pixels; the same for every method, so it is made once.

    Attributes
    ----------
    size : tuple of int
        (width, height) of the upright photo.
    """

    item: Item
    target: int
    size: tuple[int, int]

    @cached_property
    def boxes(self) -> Array | None:
        """Bool [H, W]: the union of the target's boxes; None where none of its objects has a box."""
        boxes = [t.box for t in self.item.things if t.class_index == self.target and t.box is not None]
        if not boxes:
            return None
        width, height = self.size
        inside = np.zeros((height, width), bool)
        for left, top, right, bottom in boxes:
            rows = slice(max(round(top), 0), max(round(bottom) + 1, 0))
            inside[rows, max(round(left), 0) : max(round(right) + 1, 0)] = True
        return inside

    @cached_property
    def mask(self) -> Array | None:
        """Bool [H, W]: the target's pixels; None where the dataset has no mask of it."""
        return None if self.item.masks is None else self.item.masks.read(self.target, self.size)

    @cached_property
    def ignored(self) -> Array | None:
        """Bool [H, W]: pixels that count neither way."""
        return None if self.item.masks is None else self.item.masks.ignored(self.size)


@dataclass(frozen=True)
class Case:
    """One map to be measured: one image, one target, one method.

    Attributes
    ----------
    explanation : Explanation
        ``.heatmap`` on the model's input, ``.heatmap_original`` on the photo.
    signed : bool
        The method's relevance has a sign; where it has none (a gradient's does not say for or against), maps are made
        of its size |r| summed over the channels.
    explainer : Explainer
        Of this method and model; ``score_batch`` gives scores of changed inputs.
    feeds : Feeds
        The tensors that were explained.
    others : mapping
        Explanations of further classes of the same image: those ``Metric.also`` asked for.
    first : bool
        The item's first target: figures of the image, not of a target, are measured there alone.
    seed : int
        For metrics that draw numbers: equal for equal item, target and run seed, whatever the order.
    """

    item: Item
    target: int
    truth: Truth
    explanation: Explanation
    signed: bool
    explainer: Explainer
    feeds: Feeds
    seconds: float
    others: Mapping[int, Explanation] = field(default_factory=dict)
    first: bool = True
    seed: int = 0

    @cached_property
    def heatmap(self) -> Array:
        """float64 [H, W] on the model's input, as the metrics see it."""
        return seen(self.explanation, self.signed)

    @cached_property
    def on_photo(self) -> Array:
        """float64 [H0, W0]: the heatmap laid exactly on the upright photo."""
        return on_photo(self.explanation, self.heatmap).astype(np.float64)


def seen(explanation: Explanation, signed: bool) -> Array:
    """Return the map metrics see: the channel sum, or of a method without a sign the channel sum of sizes."""
    if signed:
        return np.asarray(explanation.heatmap, np.float64)
    return np.asarray(np.abs(explanation.relevance.astype(np.float64)).sum(axis=0))


def on_photo(explanation: Explanation, heatmap: Array) -> Array:
    """Return a map [H, W] of an explanation laid exactly on the upright photo, float32 [H0, W0]."""
    small = heatmap.astype(np.float32)
    return small if explanation.geometry is None else np.asarray(explanation.geometry.to_original(small))


@dataclass(frozen=True)
class Figure:
    """One line of a result table: mean (or what the metric says), with a 95 % bootstrap interval over images."""

    metric: str
    subset: str
    value: float
    low: float
    high: float
    n: int
    direction: Direction


class Metric(Protocol):
    """Measures maps.

    Attributes
    ----------
    columns : mapping
        What it writes per row: column name → Arrow type (``float64``, ``bool``, ``int64``, ``list<float64>``).
    bounds : tuple of float
        Smallest and largest value.
    protocol : str
        One sentence: what exactly is done.
    source : str
        The paper.
    """

    name: str
    direction: Direction
    bounds: tuple[float, float]
    protocol: str
    source: str
    columns: Mapping[str, str]

    def also(self, scores: Array) -> tuple[int, ...]:
        """Return classes whose maps are needed beside the targets', from the model's scores [classes]; mostly none."""
        ...

    def measure(self, case: Case) -> dict[str, Any]:
        """Return a value per column; None where it does not apply (no mask, not the first target)."""
        ...

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the figures of one method's rows, the overall one first; [] where no row applies.

        rows: by column, one entry per row: the metric's own, ``item``, ``target``, ``label``, ``area`` (share of the
        photo in the target's boxes), ``classes`` (how many classes the image has), ``score``, ``predicted``.
        """
        ...


class ModelMetric(Protocol):
    """Measures a method on a model rather than a map, such as what becomes of maps when weights are randomised.

    It runs after the rows, on the first images of the run; its records are kept beside the rows.
    """

    name: str
    direction: Direction
    bounds: tuple[float, float]
    protocol: str
    source: str

    def run(
        self, make: Callable[[Any], Explainer], model: Any, cases: Sequence[tuple[Feeds, int, Sequence[int]]],
        signed: bool, seed: int,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return records (plain dicts of numbers and strings) for one method.

        make: an explainer of this method for another onnx_ir/ModelProto with the same interface; model: the deployed
        ModelProto; cases: what is explained, (feeds, target, hostile classes).
        """
        ...

    def figures(self, records: Sequence[Mapping[str, Any]]) -> list[Figure]:
        """Return the figures of one method's records."""
        ...
