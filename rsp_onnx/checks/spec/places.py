"""Where the relevance should be: boxes and masks of an image, and what lies inside and outside of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsp_onnx.evaluate.datasets.annotated import Item, Thing
from rsp_onnx.evaluate.datasets.files import MASK
from rsp_onnx.evaluate.datasets.photo_file import look_at, read_indices
from rsp_onnx.evaluate.metrics.localisation import peak, share, within
from rsp_onnx.evaluate.metrics.protocol import Truth
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.tensors import TENSOR_FILES
from rsp_onnx.render import smooth
from rsp_onnx.types import Array

Box = tuple[float, float, float, float]
_MARGIN = 0.03  # of the photo's shorter side: what is that near to an object is not background
_SIGMA = 3.0  # pixels of the model's input, as the pointing game of `evaluate` smooths


@dataclass(frozen=True)
class Place:
    """Where the target is on the upright photo, or on the map of a tensor.

    Attributes
    ----------
    inside : ndarray
        Bool [H, W].
    """

    inside: Array

    @property
    def margin(self) -> int:
        """Pixels around the object that count neither way."""
        side: int = min(self.inside.shape)
        return max(1, round(_MARGIN * side))

    def share_inside(self, heatmap: Array) -> float:
        """Return the part of the positive relevance inside; 0 where there is no positive relevance."""
        return share(heatmap, self.inside)

    def leakage(self, heatmap: Array) -> float:
        """Return the part of the positive relevance on the background, beyond the margin; 0 without any."""
        return share(heatmap, ~dilated(self.inside, self.margin))

    def is_hit(self, explanation: Explanation) -> bool:
        """Tell whether the smoothed map's maximum lies inside or within the margin."""
        small, geometry = smooth(explanation.heatmap, _SIGMA), explanation.geometry
        x, y = peak(small if geometry is None else geometry.to_original(small))
        return within(self.inside, x, y, self.margin)


def dilated(region: Array, pixels: int) -> Array:
    """Return a region grown by a number of pixels to all sides, corners too; bool [H, W]."""
    side = 2 * pixels + 1
    return window_sums(np.pad(region, pixels), side, side) > 0.5


def window_sums(values: Array, rows: int, columns: int) -> Array:
    """Return the sum over every window of rows × columns that lies in the map; [H - rows + 1, W - columns + 1]."""
    sums = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)  # of all above and left
    tall = sums[rows:] - sums[:-rows]
    return np.asarray(tall[:, columns:] - tall[:, :-columns])


def read_place(image: Path, target: int, boxes: Sequence[Box], mask: Path | None) -> Place | None:
    """Return where the target is; None without box and mask. A mask goes before boxes, for it is finer.

    A mask is a PNG of the photo's size whose pixels other than 0 are the target, or, called ``*.mask.png``, one with
    class index + 1 as pixel values. Boxes are (xmin, ymin, xmax, ymax) in pixels as the file has them, both corners
    inside.

    Raises
    ------
    BadItem
        The photo or the mask cannot be read, they differ in size, or a box lies outside.
    """
    if (not boxes and mask is None) or image.suffix.lower() in TENSOR_FILES:
        return None
    stored = look_at(image)
    if mask is not None:
        return Place(stored.mask(mask_pixels(read_indices(mask, stored.size), mask, target)))
    things = tuple(Thing(target, stored.box(box, f"The image {image}")) for box in boxes)
    inside = Truth(Item(image.name, image, things), target, stored.upright).boxes
    return None if inside is None else Place(inside)


def mask_pixels(values: Array, mask: Path, target: int) -> Array:
    """Return which pixels of a mask's file are the target, bool [H, W]; see ``read_place``."""
    if values.ndim == 3:
        return np.asarray((values != 0).any(axis=-1))
    return np.asarray(values == target + 1 if mask.name.endswith(MASK) else values != 0)
