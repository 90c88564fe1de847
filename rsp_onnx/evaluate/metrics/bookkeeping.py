"""What a method costs, whether it keeps the relevance together, and whether it tells classes apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.types import Array

from .base import MapMetric
from .protocol import Case, Figure, Rows, seen

_NOTHING = 1e-9  # of a sum of relevance: there is nothing to be kept


class ClassSensitivity(MapMetric):
    """Class sensitivity (Rebuffi et al. 2020): how alike the maps of the most and the least likely class are."""

    kind = "class-sensitivity"
    direction = "lower"
    bounds = (-1.0, 1.0)
    protocol = (
        "Pearson correlation, over the pixels of the model's input, between the maps of the class with the highest "
        "and of the one with the lowest score; once per image; an image where one of the maps is constant is left "
        "out; mean over images."
    )
    source = "Rebuffi et al. 2020, There and Back Again: Revisiting Backpropagation Saliency Methods"
    columns: ClassVar[Mapping[str, str]] = {"correlation": "float64"}

    def also(self, scores: Array) -> tuple[int, ...]:
        """Return the most and the least likely class."""
        return (int(np.argmax(scores)), int(np.argmin(scores)))

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the correlation for an image's first target."""
        if not case.first:
            return self.nothing()
        maps = [_map_of(case, c) for c in self.also(case.explanation.scores)]
        return self.nothing() if any(m is None for m in maps) else {"correlation": correlation(*maps)}  # type: ignore[arg-type]

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the mean over images."""
        return self.means(rows, "correlation", by_class=False)


def _map_of(case: Case, class_index: int) -> Array | None:
    if class_index == case.target:
        return case.heatmap
    other = case.others.get(class_index)
    return None if other is None else seen(other, case.signed)


def correlation(first: Array, second: Array) -> float | None:
    """Return Pearson's correlation of two maps; None where one of them is constant."""
    a, b = (m.astype(np.float64).ravel() - m.mean(dtype=np.float64) for m in (first, second))
    sizes = float(np.sqrt((a**2).sum()) * np.sqrt((b**2).sum()))
    scale = max(float(np.abs(first).max()), 1e-300) * max(float(np.abs(second).max()), 1e-300) * a.size
    if not sizes > 1e-12 * scale:  # what remains of a constant map is rounding
        return None
    return float(np.clip((a * b).sum() / sizes, -1, 1))


class Conservation(MapMetric):
    """Conservation: how much relevance is made or lost on the way from the section to the input."""

    kind = "conservation"
    direction = "lower"
    bounds = (0.0, float("inf"))
    reads_ledger = True
    protocol = (
        "|ΣR(input) - ΣR(section)| / |ΣR(section)| from the explanation's own ledger, for methods that claim to "
        "hand on what they start with (RSP, RAP, LRP but for its contrastive forms); maps whose relevance adds up "
        "to nothing at the section are left out; median over maps."
    )
    source = "Bach et al. 2015, On Pixel-Wise Explanations by Layer-Wise Relevance Propagation (conservation)"
    columns: ClassVar[Mapping[str, str]] = {"drift": "float64"}

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the drift."""
        ledger = case.explanation.ledger
        if not ledger or not find_method(case.explanation.method).distributes:
            return self.nothing()
        start = float(next(iter(ledger.values())))
        sums = [ledger[name] for name in case.feeds.tensors if name in ledger]
        end = float(sum(sums)) if sums else float(case.explanation.relevance.sum(dtype=np.float64))
        if not abs(start) > _NOTHING:
            return self.nothing()
        return {"drift": abs(end - start) / abs(start)}

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the median over maps."""
        return self.medians(rows, "drift")


class Runtime(MapMetric):
    """Runtime: seconds per map."""

    kind = "runtime"
    direction = "lower"
    bounds = (0.0, float("inf"))
    protocol = (
        "Wall-clock seconds to explain a batch (forward and backward in ONNX Runtime, no decoding, no metrics) "
        "divided by its maps; median over maps; on the hardware and provider that the summary names."
    )
    source = "measured by this run; see the summary's provenance for hardware and provider"
    columns: ClassVar[Mapping[str, str]] = {"seconds": "float64"}

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the seconds."""
        return {"seconds": float(case.seconds)}

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the median over maps."""
        return self.medians(rows, "seconds")


BOOKKEEPING_METRICS = (ClassSensitivity, Conservation, Runtime)
