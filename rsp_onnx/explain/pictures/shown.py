"""What pictures ask of an explanation, and what they are given to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from rsp_onnx.render.kinds import Mapped, Subject
from rsp_onnx.types import Array

from .names import Names


class Shown(Mapped, Protocol):
    """An ``Explanation``, as its pictures see it."""

    @property
    def label(self) -> str:
        """The target's label."""

    @property
    def hostile_labels(self) -> tuple[str, ...]:
        """The rivals' labels."""

    @property
    def score_in_words(self) -> str:
        """The score called by what it is."""

    @property
    def rank(self) -> int:
        """The target's place among the classes."""

    @property
    def scores(self) -> Array:
        """Of all classes."""

    @property
    def method(self) -> str:
        """Its name, with parameters."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The explained inputs."""

    @property
    def relevances(self) -> Mapping[str, Array]:
        """By input name."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader should know."""

    @property
    def names(self) -> Names:
        """Of tokens and columns."""

    @property
    def is_zero(self) -> bool:
        """There is nothing to see."""


def subject_of(explained: Shown) -> Subject:
    """Return what is drawn: the first input's map; where every input is one number, all of them as one table."""
    parts = [explained.relevances.get(name) for name in explained.inputs]
    if is_table_of_inputs(explained):
        values = np.array([float(np.ravel(part)[0]) for part in parts if part is not None], np.float32)
        return Subject(values, values, values, columns=explained.inputs)
    return Subject(
        explained.relevance, explained.heatmap, explained.heatmap_original, explained.tensor, explained.photo,
        explained.names.tokens, explained.names.columns, _axes(explained),
    )  # fmt: skip


def _axes(explained: Shown) -> tuple[str, str]:
    given = explained.relevance if explained.tensor is None else explained.tensor
    return explained.names.of_places(drawn_input(explained), given.shape, explained.heatmap.shape)


def drawn_input(explained: Shown) -> str:
    """Return the input whose map is drawn: the first that has axes."""
    parts = {name: explained.relevances.get(name) for name in explained.inputs}
    return next((name for name, part in parts.items() if part is not None and part.ndim), "".join([*parts][:1]))


def is_table_of_inputs(explained: Shown) -> bool:
    """Tell whether every input is one number, a column with the input's name."""
    parts = [explained.relevances.get(name) for name in explained.inputs]
    return len(parts) > 1 and all(part is not None and part.size == 1 for part in parts)


def undrawn(explained: Shown) -> str:
    """Say why there is no picture of a map, a sentence with what to do instead; empty where there is one."""
    of_inputs, axes = is_table_of_inputs(explained), explained.heatmap.ndim
    if not np.any(subject_of(explained).heatmap) if of_inputs else explained.is_zero:
        return "The relevance is zero everywhere; there is nothing to draw (see .warnings)."
    if not of_inputs and not 1 <= axes <= 3:
        return f"A map with {axes} axes cannot be drawn; use .relevance or .save('map.npz')."
    return ""
