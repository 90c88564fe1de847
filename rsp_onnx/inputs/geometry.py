"""Where the tensor's pixels lie in the original photograph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsp_onnx.errors import BadInput

_NOTHING = 1e-6  # overlap in tensor pixels below which a pixel counts as never seen (float error of the box)


@dataclass(frozen=True)
class Geometry:
    """Where the tensor's pixels lie in the original photograph.

    Parameters
    ----------
    original : tuple of int
        (height, width) of the photograph in pixels.
    tensor : tuple of int
        (height, width) of the tensor.
    box : tuple of float
        (left, top, right, bottom) of the area the tensor covers, in original pixels measured from the
        photograph's upper left corner; it reaches outside the photograph where a letterbox adds margins.
    """

    original: tuple[int, int]
    tensor: tuple[int, int]
    box: tuple[float, float, float, float]

    @classmethod
    def fit(
        cls, original: tuple[int, int], tensor: tuple[int, int], resize: str, crop_fraction: float = 0.875
    ) -> Geometry:
        """Lay a tensor over a photograph; sizes are (height, width).

        Parameters
        ----------
        original, tensor : tuple of int
            Sizes of the photograph and of the tensor.
        resize : {"stretch", "crop", "pad"}
            How the one becomes the other.
        crop_fraction : float
            For "crop": the part of the resized photograph's shorter side that is kept.
        """
        if resize == "stretch":
            return cls(original, tensor, (0.0, 0.0, float(original[1]), float(original[0])))
        crop = resize == "crop"
        resized = _cover(original, tensor, crop_fraction) if crop else _contain(original, tensor)
        left, right = _span(original[1], resized[1], tensor[1])
        top, bottom = _span(original[0], resized[0], tensor[0])
        return cls(original, tensor, (left, top, right, bottom))

    @property
    def inside(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the tensor's pixels that show the photograph, not a margin."""
        (x0, x1), (y0, y1) = self._seen(axis=1), self._seen(axis=0)
        return x0, y0, x1, y1

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The part of `box` that lies in the photograph, in original pixels."""
        left, top, right, bottom = self.box
        height, width = self.original
        return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))

    def to_original(self, heatmap: NDArray[Any]) -> NDArray[np.float32]:
        """Lay a map of the tensor's pixels exactly on the original photograph.

        Values are kept (not their sum): where the photograph is finer than the tensor, bilinear interpolation
        between pixel centres; where it is coarser, the mean over the area of each original pixel.

        Parameters
        ----------
        heatmap : ndarray, shape [h, w]
            One finite value per pixel of the tensor.

        Returns
        -------
        ndarray of float32, shape [h0, w0]
            0 where the tensor never saw the photograph; what lay on a letterbox margin is dropped.

        Raises
        ------
        BadInput
            If the map has another shape than the tensor, or holds a value that is not finite.
        """
        values = finite_map(heatmap)
        if values.shape != self.tensor:
            raise BadInput(f"The map has {values.shape} pixels, but the tensor it belongs to has {self.tensor}.")
        rows = _mixed(_weights(self, 0), values)
        laid: NDArray[np.float32] = _mixed(_weights(self, 1), rows.T).T.astype(np.float32)
        return np.ascontiguousarray(laid)

    def _edges(self, axis: int) -> NDArray[np.float64]:
        """Edges of the original pixels in tensor pixels; [n0 + 1]."""
        start, end = self.box[1 - axis], self.box[3 - axis]
        edges = np.arange(self.original[axis] + 1, dtype=np.float64)
        return (edges - start) * (self.tensor[axis] / (end - start))

    def _seen(self, axis: int) -> tuple[int, int]:
        """First and last + 1 tensor pixel whose centre lies in the photograph."""
        edges = self._edges(axis)
        first, end = round(max(edges[0], 0.0)), round(min(edges[-1], self.tensor[axis]))
        return first, max(end, first + 1)


@lru_cache(maxsize=16)  # a dataset's photos share few sizes
def _weights(geometry: Geometry, axis: int) -> NDArray[np.float64]:
    """Weight of each tensor pixel in each original pixel of one axis; [n0, n], rows sum to 1 or 0."""
    edges, (first, end) = geometry._edges(axis), geometry._seen(axis)
    starts, ends = edges[:-1], edges[1:]
    if ends[0] - starts[0] > 1.0:
        weights = _area_weights(starts, ends, first, end, geometry.tensor[axis])
    else:
        weights = _linear_weights((starts + ends) / 2, first, end, geometry.tensor[axis])
    weights[np.minimum(ends, end) - np.maximum(starts, first) <= _NOTHING] = 0.0
    return weights


def _mixed(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights @ values; where every row mixes two neighbours at most, by picking them: that is much quicker."""
    if np.count_nonzero(weights, axis=1).max(initial=0) > 2:
        return weights @ values
    low = np.argmax(weights != 0, axis=1)
    high = np.minimum(low + 1, weights.shape[1] - 1)
    rows = np.arange(len(weights))
    second = np.where(high > low, weights[rows, high], 0.0)[:, None]
    mixed: NDArray[np.float64] = weights[rows, low][:, None] * values[low] + second * values[high]
    return mixed


def finite_map(heatmap: NDArray[Any]) -> NDArray[np.float64]:
    """Check that a heatmap is a finite picture and return it as float64 [h, w].

    Raises
    ------
    BadInput
        If it has not two axes, no pixels, or values that are NaN or infinite.
    """
    values = np.asarray(heatmap, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise BadInput(f"A heatmap has two axes (height, width) and at least one pixel, not shape {values.shape}.")
    broken = int(values.size - np.count_nonzero(np.isfinite(values)))
    if broken:
        raise BadInput(f"The heatmap has {broken} of {values.size} values that are NaN or infinite.")
    return values


def _cover(original: tuple[int, int], tensor: tuple[int, int], crop_fraction: float) -> tuple[int, int]:
    """Size the photograph is resized to before a centre crop, with the integers of torchvision and timm."""
    goal = [max(n, int(n / crop_fraction + 1e-9)) for n in tensor]
    if goal[0] * original[1] >= goal[1] * original[0]:  # the height needs the larger factor
        return goal[0], max(goal[1], original[1] * goal[0] // original[0])
    return max(goal[0], original[0] * goal[1] // original[1]), goal[1]


def _contain(original: tuple[int, int], tensor: tuple[int, int]) -> tuple[int, int]:
    """Size of the photograph inside a letterbox."""
    factor = min(tensor[0] / original[0], tensor[1] / original[1])
    height, width = (min(n, max(1, round(n0 * factor))) for n0, n in zip(original, tensor, strict=True))
    return height, width


def _span(original: int, resized: int, tensor: int) -> tuple[float, float]:
    """Start and end, in original pixels, of `tensor` pixels centred on `original` pixels made `resized`."""
    margin = resized - tensor
    start = round(margin / 2) if margin > 0 else -(-margin // 2)  # torchvision's CenterCrop rounds like this
    return start * original / resized, (start + tensor) * original / resized


def _linear_weights(centres: NDArray[np.float64], first: int, end: int, n: int) -> NDArray[np.float64]:
    """Bilinear weights at positions `centres`, never reaching beyond the pixels first..end-1; [len, n]."""
    place = np.clip(centres - 0.5, first, end - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, end - 1)
    weights = np.zeros((len(centres), n))
    rows = np.arange(len(centres))
    np.add.at(weights, (rows, low), 1.0 - (place - low))
    np.add.at(weights, (rows, high), place - low)
    return weights


def _area_weights(
    starts: NDArray[np.float64], ends: NDArray[np.float64], first: int, end: int, n: int
) -> NDArray[np.float64]:
    """Share of each pixel first..end-1 in each interval; [len, n]. An interval beyond them all gets 0."""
    pixel = np.arange(n)
    overlap = np.minimum(ends[:, None], pixel + 1.0) - np.maximum(starts[:, None], pixel)
    overlap = np.where((pixel >= first) & (pixel < end), np.maximum(overlap, 0.0), 0.0)
    total = overlap.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(overlap, total, out=np.zeros_like(overlap), where=total > _NOTHING)
    return shares
