"""Where the relevance lies: the pointing game, the share inside, and the grid pointing game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rsp_onnx.render import smooth
from rsp_onnx.types import Array

from .base import MapMetric, label_at, picked
from .bootstrap import mean_of_classes
from .protocol import Case, Figure, Rows

_SMALL = 0.25  # of the photo: a target that covers less is difficult


class Pointing(MapMetric):
    """The pointing game (Zhang et al. 2016) by TorchRay's protocol.

    With COCO, as there, a crowd is an object like any other. It differs from TorchRay in one point: a class that was
    never seen is left out of the mean, where TorchRay counts it 0. Masks of VOC, which TorchRay does not use
    (truth=mask), have pixels that count neither way: a miss there is not counted.
    """

    kind = "pointing"
    direction = "higher"
    bounds = (0.0, 1.0)
    source = (
        "Zhang et al. 2016, Top-down Neural Attention by Excitation Backprop; protocol of TorchRay (Fong et al. 2019)"
    )
    defaults: ClassVar[Mapping[str, float]] = {"tolerance": 15.0, "sigma": 3.0}
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"truth": ("auto", "box", "mask")}
    columns: ClassVar[Mapping[str, str]] = {"hit": "bool", "difficult": "bool", "x": "int64", "y": "int64"}

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        blur = (
            f"smoothed with σ = {self.number['sigma']:g} pixels of the model's input"
            if self.number["sigma"]
            else "as it is"
        )
        truth = {"auto": "mask (COCO) or boxes (all others)", "box": "boxes", "mask": "mask"}[self.word["truth"]]
        return (
            f"The map's maximum ({blur}, laid on the original photo) is a hit if it lies less than "
            f"{self.number['tolerance']:g} pixels from the target's {truth}; a target of VOC whose objects are all "
            "flagged difficult is left out; mean over the classes that were seen; difficult: the target covers less "
            "than a quarter of the photo and another class is there."
        )

    def measure(self, case: Case) -> dict[str, Any]:
        """Return whether the map's maximum hits, where it is, and whether the target is of the difficult subset."""
        region, ignored = self._region(case)
        if region is None or not region.any() or (not _has_crowds(case) and _all_flagged(case)):
            return self.nothing()
        x, y = self._point(case)
        hit = within(region, x, y, self.number["tolerance"])
        counts = hit or ignored is None or not ignored[y, x]
        others = {*case.item.targets, *case.item.unknown} - {case.target}
        difficult = bool(region.mean() < _SMALL and others)
        return {"hit": hit if counts else None, "difficult": difficult, "x": x, "y": y}

    def _region(self, case: Case) -> tuple[Array | None, Array | None]:
        """Return the target's pixels, and those that count neither way."""
        wanted, boxes = self.word["truth"], case.truth.boxes
        if wanted == "box" or (wanted == "auto" and boxes is not None and not _has_crowds(case)):
            return boxes, None
        mask = case.truth.mask
        if not _has_crowds(case):
            return mask, case.truth.ignored
        crowd = case.item.masks.crowd(case.target)  # type: ignore[union-attr]
        return crowd if mask is None else mask | crowd, None

    def _point(self, case: Case) -> tuple[int, int]:
        geometry, sigma = case.explanation.geometry, self.number["sigma"]
        small = smooth(case.heatmap, sigma)
        if geometry is None:
            return peak(small)
        laid = geometry.to_original(small)
        if not laid.max() > 0:  # then what the model never saw, which is 0, must not win
            laid[geometry.to_original(np.ones_like(small)) <= 0] = -np.inf
        return peak(laid)

    def figures(self, rows: Rows) -> list[Figure]:
        """Return means over classes (all, difficult), over targets, and per class."""
        chosen = picked(rows, "hit")
        if not chosen:
            return []
        hard = [i for i in chosen if rows["difficult"][i]]
        figures = [self._figure("all", rows, chosen, by_class=True), self._figure("targets", rows, chosen)]
        if hard:
            figures.append(self._figure("difficult", rows, hard, by_class=True))
            figures.append(self._figure("difficult-targets", rows, hard))
        hits, items = [float(rows["hit"][i]) for i in chosen], [rows["item"][i] for i in chosen]
        return figures + self.classes(hits, items, [label_at(rows, i) for i in chosen])

    def _figure(self, subset: str, rows: Rows, chosen: Sequence[int], by_class: bool = False) -> Figure:
        hits, items = [float(rows["hit"][i]) for i in chosen], [rows["item"][i] for i in chosen]
        classes = [rows["target"][i] for i in chosen] if by_class else None
        return self.figure(subset, mean_of_classes(hits, items, classes=classes))


def peak(heatmap: Array) -> tuple[int, int]:
    """Return (x, y) of the maximum, the first in reading order where there are several."""
    y, x = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    return int(x), int(y)


def within(region: Array, x: int, y: int, tolerance: float) -> bool:
    """Tell whether a pixel of the region lies less than ``tolerance`` from (x, y), or on it."""
    reach = int(np.ceil(tolerance))
    top, left = max(y - reach, 0), max(x - reach, 0)
    window = region[top : y + reach + 1, left : x + reach + 1]
    rows, columns = np.nonzero(window)
    near = (rows + top - y) ** 2 + (columns + left - x) ** 2 < tolerance**2
    return bool(near.any() or region[y, x])


def _all_flagged(case: Case) -> bool:
    """Tell whether all objects of the target are difficult ones."""
    flags = [t.difficult for t in case.item.things if t.class_index == case.target]
    return bool(flags) and all(flags)


def _has_crowds(case: Case) -> bool:
    """Tell an item of COCO, where every object has a mask, by its masks' knowing of crowds."""
    return hasattr(case.item.masks, "crowd")


class Inside(MapMetric):
    """Which share of the positive relevance lies in the target's boxes, and in its mask."""

    kind = "inside"
    direction = "higher"
    bounds = (0.0, 1.0)
    protocol = (
        "Sum of the positive relevance inside the target's boxes, or its mask without ignored pixels, divided by "
        "all positive relevance, the map laid on the original photo; a map without positive relevance counts 0; "
        "mean over targets."
    )
    source = (
        "Kohlbrenner et al. 2020, Towards Best Practice in Explaining Neural Network Decisions with LRP "
        "(attribution localisation)"
    )
    columns: ClassVar[Mapping[str, str]] = {"box": "float64", "mask": "float64"}

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the shares in box and mask."""
        boxes, mask = case.truth.boxes, case.truth.mask
        return {
            "box": None if boxes is None else share(case.on_photo, boxes),
            "mask": None if mask is None else share(case.on_photo, mask, case.truth.ignored),
        }

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the mean in the boxes and in the masks, then per class of the first of them."""
        box = self.means(rows, "box", overall="box")
        mask = self.means(rows, "mask", overall="mask", by_class=not box)
        return box[:1] + mask[:1] + box[1:] + mask[1:]


def share(heatmap: Array, region: Array, ignored: Array | None = None) -> float:
    """Return the part of the positive relevance that lies in a region; 0 where there is no positive relevance."""
    upper = np.maximum(heatmap, 0)
    if ignored is not None:
        upper = np.where(ignored, 0, upper)
    total = float(upper.sum())
    return float(upper[region].sum()) / total if total > 0 else 0.0


class GridPointing(MapMetric):
    """The grid pointing game on mosaics of photos; a mosaic's boxes are its cells (``benchmarks/mosaics.py``)."""

    kind = "grid-pointing"
    direction = "higher"
    bounds = (0.0, 1.0)
    protocol = (
        "Share of the positive relevance in the target's cell of a mosaic of different classes, whose boxes are "
        "the cells; a map without positive relevance counts 0; chance is one over the number of cells; mean over "
        "cells."
    )
    source = "Böhle et al. 2021, Convolutional Dynamic Alignment Networks for Interpretable Classifications"
    columns: ClassVar[Mapping[str, str]] = {"share": "float64"}

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the share in the target's cell; nothing where the item is no mosaic."""
        boxes = case.truth.boxes
        if boxes is None or len(case.item.targets) < 2 or not is_mosaic(case):
            return self.nothing()
        return {"share": share(case.on_photo, boxes)}

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the mean, then the mean per class."""
        return self.means(rows, "share")


def is_mosaic(case: Case) -> bool:
    """Tell whether the item's boxes cover the photo without overlap, but for a margin of a hundredth."""
    width, height = case.truth.size
    boxes = [t.box for t in case.item.things if t.box is not None]
    covered = sum((right - left + 1) * (bottom - top + 1) for left, top, right, bottom in boxes)
    together = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        together[round(top) : round(bottom) + 1, round(left) : round(right) + 1] = True
    return abs(covered - width * height) <= 0.01 * width * height and bool(together.mean() >= 0.99)


LOCALISATION_METRICS = (Pointing, Inside, GridPointing)
