"""Intersection over union of the binarised positive relevance with the target's mask."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rsp_onnx.extras import need
from rsp_onnx.types import Array

from .base import MapMetric, label_at, picked
from .bootstrap import mean_of_classes
from .protocol import Case, Figure, Rows

LEVELS = 20  # the thresholds are 1/20 ... 19/20 of the maximum
POLICIES = ("mean", "otsu", "best")


class MeanIoU(MapMetric):
    """mIoU under three policies for the threshold.

    mean: above the mean of the relevance that is positive. otsu: above Otsu's threshold of max(r, 0), all pixels that
    count. best: at least a fraction of the maximum, the fraction chosen on one half of the images (by a hash of their
    keys) and the figure taken from the other half.
    """

    kind = "miou"
    direction = "higher"
    bounds = (0.0, 1.0)
    source = "Everingham et al. 2010, The PASCAL VOC Challenge (IoU); Otsu 1979, A Threshold Selection Method"
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"policy": POLICIES}
    columns: ClassVar[Mapping[str, str]] = {
        "mean": "float64",
        "otsu": "float64",
        "fractions": "list<float64>",
        "intersections": "list<int64>",
        "unions": "list<int64>",
    }

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        return (
            "IoU of the thresholded positive relevance, laid on the original photo, with the target's mask, ignored "
            "pixels left out; threshold by policy: mean of the positive relevance, Otsu's of all pixels, or the best "
            "of 19 fractions of the maximum, chosen on the half of the images whose key's SHA-256 is even and "
            "reported on the other; averaged over the targets of a class, then over classes; a map without positive "
            "relevance counts 0; 'pixels' adds up a class's intersections and unions instead (as VOC's challenge). "
            f"The first line is policy {self.word['policy']}."
        )

    def measure(self, case: Case) -> dict[str, Any]:
        """Return IoU by policy; intersections and unions in pixels for mean, otsu, and the 19 fractions."""
        mask = case.truth.mask
        if mask is None or not mask.any():
            return self.nothing()
        ignored = case.truth.ignored
        keep = slice(None) if ignored is None else ~ignored.ravel()
        upper, inside = np.maximum(case.on_photo.ravel()[keep], 0), mask.ravel()[keep]
        if not inside.any():
            return self.nothing()
        counts = [_overlap(upper > _mean_threshold(upper), inside), _overlap(upper > _otsu(upper), inside)]
        counts += _levels(upper, inside)
        ious = [a / b for a, b in counts]
        return {
            "mean": ious[0],
            "otsu": ious[1],
            "fractions": ious[2:],
            "intersections": [a for a, _ in counts],
            "unions": [b for _, b in counts],
        }

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the chosen policy's figure under "all", then every policy's, accumulated ones, and classes."""
        chosen = picked(rows, "mean")
        if not chosen:
            return []
        half, level = _best(rows, chosen)
        by_policy = {"mean": (chosen, 0), "otsu": (chosen, 1), "best": (half, 2 + level)}
        first, place = by_policy[self.word["policy"]]
        if not first:  # one image has no two halves
            first, place = by_policy["mean"]
        figures = [self._figure("all", rows, first, place)]
        for policy, (here, at) in by_policy.items():
            if here:
                figures += [
                    self._figure(policy, rows, here, at),
                    self._figure(f"{policy}-pixels", rows, here, at, True),
                ]
        values = [_iou(rows, i, place) for i in first]
        return figures + self.classes(values, [rows["item"][i] for i in first], [label_at(rows, i) for i in first])

    def _figure(self, subset: str, rows: Rows, chosen: Sequence[int], place: int, pixels: bool = False) -> Figure:
        items, classes = [rows["item"][i] for i in chosen], [rows["target"][i] for i in chosen]
        if not pixels:
            values = [_iou(rows, i, place) for i in chosen]
            return self.figure(subset, mean_of_classes(values, items, classes=classes))
        tops = [float(rows["intersections"][i][place]) for i in chosen]
        bottoms = [float(rows["unions"][i][place]) for i in chosen]
        return self.figure(subset, mean_of_classes(tops, items, denominators=bottoms, classes=classes))


def _iou(rows: Rows, i: int, place: int) -> float:
    return float(rows["intersections"][i][place]) / float(rows["unions"][i][place])


def _mean_threshold(upper: Array) -> float:
    positive = upper[upper > 0]
    return float(positive.mean()) * (1 - 1e-12) if positive.size else 0.0  # one value alone is above its own mean


def _otsu(upper: Array) -> float:
    if not upper.max() > upper.min():
        return 0.0
    return float(need("skimage.filters", "Otsu's threshold").threshold_otsu(upper))


def _overlap(chosen: Array, inside: Array) -> tuple[int, int]:
    """Return (intersection, union) in pixels."""
    return int(np.count_nonzero(chosen & inside)), int(np.count_nonzero(chosen | inside))


def _levels(upper: Array, inside: Array) -> list[tuple[int, int]]:
    """Return (intersection, union) where upper ≥ k/20 of its maximum, k = 1 ... 19."""
    top, total = float(upper.max()), int(np.count_nonzero(inside))
    if not top > 0:
        return [(0, total)] * (LEVELS - 1)
    some = upper > 0  # the others reach none
    upper, inside = upper[some], inside[some]
    level = np.searchsorted(top * np.arange(1, LEVELS) / LEVELS, upper, side="right")  # how many it reaches
    reached = [np.cumsum(np.bincount(level[part], minlength=LEVELS)[::-1])[::-1][1:] for part in (inside, ~inside)]
    return [(int(hits), total + int(others)) for hits, others in zip(*reached, strict=True)]


def _best(rows: Rows, chosen: Sequence[int]) -> tuple[list[int], int]:
    """Return the rows of the half that is reported, and the fraction's place that is best on the other half."""
    tuned = [i for i in chosen if for_tuning(rows["item"][i])]
    rest = [i for i in chosen if not for_tuning(rows["item"][i])]
    if not tuned or not rest:
        return [], 0
    by_class: dict[Any, list[list[float]]] = {}
    for i in tuned:
        by_class.setdefault(rows["target"][i], []).append(rows["fractions"][i])
    means = np.mean([np.mean(fractions, axis=0) for fractions in by_class.values()], axis=0)
    return rest, int(np.argmax(means))


def for_tuning(key: object) -> bool:
    """Tell whether an image is of the half that choices are made on: its key's hash is even."""
    return hashlib.sha256(str(key).encode()).digest()[-1] % 2 == 0


MIOU_METRICS = (MeanIoU,)
