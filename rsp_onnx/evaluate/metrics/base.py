"""What metrics of maps share: names with parameters, and the figures that all of them give."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.parameters import numbers
from rsp_onnx.types import Array

from .bootstrap import Estimate, mean_of_classes, median
from .protocol import Case, Direction, Figure, Rows


class Named:
    """A metric with its parameters, as a user named it.

    Attributes
    ----------
    kind : str
        The name without parameters.
    defaults : mapping
        Parameters that are numbers.
    words : mapping
        Parameters that are words, each with its choices, the default first.
    limits : mapping
        Smallest and largest value of a parameter; 0 to 1e6 where it is not listed.
    reads_ledger : bool
        It reads the explanations' ledger, which is then computed with every map.
    """

    kind: ClassVar[str]
    direction: ClassVar[Direction]
    bounds: ClassVar[tuple[float, float]]
    source: ClassVar[str]
    defaults: ClassVar[Mapping[str, float]] = {}
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}
    reads_ledger: ClassVar[bool] = False

    def __init__(self, spec: str, given: Mapping[str, str]) -> None:
        self.name = spec
        self.word = {key: _word(spec, key, given.get(key), choices) for key, choices in self.words.items()}
        self.number = numbers(spec, {k: v for k, v in given.items() if k not in self.words}, self.defaults)
        for key, value in self.number.items():
            low, high = self.limits.get(key, (0.0, 1e6))
            if not low <= value <= high:
                raise BadInput(f"{spec!r}: {key} must be from {low:g} to {high:g}, not {value:g}.")

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        raise NotImplementedError

    def count(self, key: str) -> int:
        """Return a parameter that counts something."""
        return round(self.number[key])

    def figure(self, subset: str, estimate: Estimate) -> Figure:
        """Return an estimate as a line of the table."""
        return Figure(self.name, subset, estimate.value, estimate.low, estimate.high, estimate.n, self.direction)


class MapMetric(Named):
    """A metric of single maps; a subclass says ``columns`` and ``measure``, and which column its figures are of."""

    columns: ClassVar[Mapping[str, str]] = {}

    def also(self, scores: Array) -> tuple[int, ...]:
        """Return no further classes; see ``Metric``."""
        return ()

    def measure(self, case: Case) -> dict[str, Any]:
        """Return a value per column; see ``Metric``."""
        raise NotImplementedError

    def nothing(self) -> dict[str, Any]:
        """Return the row of a map that the metric does not apply to."""
        return dict.fromkeys(self.columns)

    def means(self, rows: Rows, column: str, *, overall: str = "all", by_class: bool = True) -> list[Figure]:
        """Return the mean over maps, then over the maps of each class; [] where the column is empty."""
        chosen = picked(rows, column)
        if not chosen:
            return []
        values, items, labels = (
            [rows[column][i] for i in chosen], [rows["item"][i] for i in chosen], [label_at(rows, i) for i in chosen],
        )  # fmt: skip
        return [self.figure(overall, mean_of_classes(values, items))] + (
            self.classes(values, items, labels) if by_class else []
        )

    def medians(self, rows: Rows, column: str, overall: str = "all") -> list[Figure]:
        """Return the median over maps; [] where the column is empty."""
        chosen = picked(rows, column)
        if not chosen:
            return []
        estimate = median([rows[column][i] for i in chosen], [rows["item"][i] for i in chosen])
        return [self.figure(overall, estimate)]

    def classes(
        self, values: Sequence[float], items: Sequence[Hashable], labels: Sequence[str]
    ) -> list[Figure]:  # fmt: skip
        """Return a figure per class that was seen: ``class:LABEL``, in the order of the labels."""
        places: dict[str, list[int]] = {}
        for place, label in enumerate(labels):
            places.setdefault(label, []).append(place)
        return [
            self.figure(f"class:{label}", mean_of_classes([values[i] for i in here], [items[i] for i in here]))
            for label, here in sorted(places.items())
        ]


def picked(rows: Rows, column: str) -> list[int]:
    """Return the rows that have a finite value, or a list, in a column."""
    return [i for i, v in enumerate(rows.get(column, ())) if v is not None and (isinstance(v, list) or np.isfinite(v))]


def label_at(rows: Rows, i: int) -> str:
    """Return a row's class by name, by number where it has no name."""
    label = rows["label"][i] if "label" in rows else None
    return str(label) if label else f"class {rows['target'][i]}"


def _word(spec: str, key: str, given: str | None, choices: tuple[str, ...]) -> str:
    if given is None:
        return choices[0]
    if given not in choices:
        raise BadInput(f"{spec!r}: {key} must be one of {', '.join(choices)}, not {given!r}.")
    return given
