"""What becomes of the score when the pixels with the most relevance are taken away, or put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.classes import probabilities
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.render import smooth
from rsp_onnx.types import Array

from .base import MapMetric
from .protocol import Case, Figure, Rows

_AT_ONCE = 16  # changed inputs scored in one call


class Perturbation(MapMetric):
    """What deletion, insertion and region perturbation share: changed inputs, scored in batches."""

    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"steps": (1, 1000), "region": (1, 512), "blur": (0.1, 1000)}

    def figures(self, rows: Rows) -> list[Figure]:
        """Return the mean over targets, then per class."""
        return self.means(rows, "area")

    def _curve(self, case: Case, inputs: Iterable[Array]) -> list[float]:
        """Return the target's probability for each of the inputs [C, H, W]."""
        name, layout = image_input(case)
        dtype = case.feeds.tensors[name].dtype
        curve: list[float] = []
        feeds = (_changed(case.feeds, name, _as_type(_laid_out(x, layout), dtype)[None]) for x in inputs)
        while part := list(islice(feeds, _AT_ONCE)):
            scores = case.explainer.score_batch(part)
            kind = case.explainer.score_kind(part[0])
            curve += [float(probabilities(s, kind)[case.target]) for s in scores]
        return curve


class Deletion(Perturbation):
    """Deletion (Petsiuk et al. 2018): pixels go, those with the most relevance first."""

    kind = "deletion"
    direction = "lower"
    bounds = (0.0, 1.0)
    source = "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models"
    defaults: ClassVar[Mapping[str, float]] = {"steps": 20.0}
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"fill": ("zero", "mean")}
    columns: ClassVar[Mapping[str, str]] = {"area": "float64", "curve": "list<float64>"}

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        fill = "0 in the model's own input" if self.word["fill"] == "zero" else "the mean of each channel of the input"
        return (
            f"The pixels of the model's input are replaced by {fill} in {self.count('steps')} equal steps, the most "
            "relevant first; area under the target's probability over the share replaced (trapezoids)."
        )

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the area and the curve, from nothing replaced to all."""
        image = pixels_of(case)
        blank = np.zeros_like(image) if self.word["fill"] == "zero" else np.broadcast_to(_means(image), image.shape)
        curve = self._curve(case, _moving(image, blank, order_of(case), self.count("steps")))
        return {"area": _area(curve), "curve": curve}


class Insertion(Perturbation):
    """Insertion (Petsiuk et al. 2018): pixels come into a blurred image, those with the most relevance first."""

    kind = "insertion"
    direction = "higher"
    bounds = (0.0, 1.0)
    source = Deletion.source
    defaults: ClassVar[Mapping[str, float]] = {"steps": 20.0, "blur": 10.0}
    columns: ClassVar[Mapping[str, str]] = {"area": "float64", "curve": "list<float64>"}

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        return (
            f"Into the model's input blurred with σ = {self.number['blur']:g} pixels the true pixels are put back in "
            f"{self.count('steps')} equal steps, the most relevant first; area under the target's probability over "
            "the share put back (trapezoids)."
        )

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the area and the curve, from all blurred to all true."""
        image = pixels_of(case)
        blurred = np.stack([smooth(channel, self.number["blur"]) for channel in image])
        curve = self._curve(case, _moving(blurred, image, order_of(case), self.count("steps")))
        return {"area": _area(curve), "curve": curve}


class RegionPerturbation(Perturbation):
    """Region perturbation (Samek et al. 2017): squares are filled with noise, the most relevant first (MoRF)."""

    kind = "region-perturbation"
    direction = "higher"
    bounds = (-1.0, 1.0)
    source = "Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network Has Learned"
    defaults: ClassVar[Mapping[str, float]] = {"steps": 30.0, "region": 9.0}
    columns: ClassVar[Mapping[str, str]] = {"area": "float64", "curve": "list<float64>"}

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        size = self.count("region")
        return (
            f"Squares of {size}×{size} pixels of the model's input, ordered by the sum of their relevance, are filled "
            "one by one with uniform noise between the input's smallest and largest value (seeded); AOPC: mean over "
            f"0..L of how much the target's probability fell, L = {self.count('steps')} or all the squares there are."
        )

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the AOPC and the curve of probabilities, from nothing filled on."""
        curve = self._curve(case, self._filled(case))
        return {"area": float(np.mean(curve[0] - np.array(curve))), "curve": curve}

    def _filled(self, case: Case) -> Iterator[Array]:
        image, rng = pixels_of(case), np.random.default_rng(case.seed)
        low, high = float(image.min()), float(image.max())
        yield image
        for rows, columns in squares(case.heatmap, self.count("region"))[: self.count("steps")]:
            image = image.copy()
            image[:, rows, columns] = rng.uniform(low, high, image[:, rows, columns].shape)
            yield image


def squares(heatmap: Array, size: int) -> list[tuple[slice, slice]]:
    """Return the squares of a grid over the map, the one with the largest sum first; the last ones may be cut off."""
    height, width = heatmap.shape
    places = [
        (slice(y, min(y + size, height)), slice(x, min(x + size, width)))
        for y in range(0, height, size)
        for x in range(0, width, size)
    ]
    sums = np.array([heatmap[rows, columns].sum() for rows, columns in places])
    return [places[i] for i in np.argsort(-sums, kind="stable")]


def image_input(case: Case) -> tuple[str, str]:
    """Return the image input's name and layout; BadInput where the model's input is no image."""
    signatures = case.explainer.signatures
    if len(signatures) != 1 or len(case.feeds.tensors) != 1 or case.heatmap.ndim != 2:
        raise BadInput("Perturbation metrics change the pixels of one image; this model takes something else.")
    return signatures[0].name, signatures[0].layout()


def pixels_of(case: Case) -> Array:
    """Return the model's input as float64 [C, H, W]."""
    name, layout = image_input(case)
    image = case.feeds.tensors[name][0].astype(np.float64)
    if layout == "NHWC":
        return np.moveaxis(image, -1, 0)
    return image if layout == "NCHW" else np.asarray(image[None])


def order_of(case: Case) -> Array:
    """Return the pixels' numbers, the most relevant first; equal ones in reading order."""
    return np.argsort(-case.heatmap, axis=None, kind="stable")


def _moving(start: Array, end: Array, order: Array, steps: int) -> Iterator[Array]:
    """Yield steps + 1 images [C, H, W] from start to end, pixel after pixel in the order given."""
    image = start.reshape(len(start), -1).copy()
    goal, last = end.reshape(len(end), -1), 0
    yield image.reshape(start.shape).copy()
    for step in range(1, steps + 1):
        here = order[last : round(step * order.size / steps)]
        image[:, here] = goal[:, here]
        last += here.size
        yield image.reshape(start.shape).copy()


def _laid_out(image: Array, layout: str) -> Array:
    """Return an image [C, H, W] without its batch in the model's own layout."""
    if layout == "NHWC":
        return np.moveaxis(image, 0, -1)
    return image if layout == "NCHW" else np.asarray(image[0])


def _as_type(image: Array, dtype: np.dtype[Any]) -> Array:
    return np.asarray((np.rint(image) if dtype.kind in "iu" else image).astype(dtype))


def _changed(feeds: Feeds, name: str, tensor: Array) -> Feeds:
    return replace(feeds, tensors={**feeds.tensors, name: np.ascontiguousarray(tensor)})


def _means(image: Array) -> Array:
    return np.asarray(image.mean(axis=(1, 2), keepdims=True))


def _area(curve: Sequence[float]) -> float:
    """Return the mean height of the trapezoids under a curve over 0..1."""
    values = np.asarray(curve)
    return float((values[:-1] + values[1:]).mean() / 2)


PERTURBATION_METRICS = (Insertion, Deletion, RegionPerturbation)
