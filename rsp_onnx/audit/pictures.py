"""A cluster on a contact sheet: its mean map, and the photos nearest to its middle with their maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rsp_onnx.compare.pictures import thumbnail_size
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.render import contact_sheet, heatmap_rgb, overlay
from rsp_onnx.types import Array

_SIDE = 192  # longest side of a thumbnail in pixels
_PAIRS = 4  # photos with their maps in a row


def cluster_sheet(mean: Array, members: Sequence[tuple[Explanation, str]]) -> Image.Image:
    """Return a sheet: where the cluster's relevance sits on average, then pairs of photo and map.

    Parameters
    ----------
    mean : ndarray
        [cells, cells], sum 1.
    members : sequence of (Explanation, str)
        With a caption each.
    """
    pictures, captions = [_mean_picture(mean)], ["mean of the cluster"]
    rest = []
    for explanation, caption in members:
        photo, laid = _pair(explanation)
        rest.append(_side_by_side(photo, laid))
        captions.append(caption)
    return contact_sheet([*pictures, *rest], _PAIRS, captions=captions, cell=(2 * _SIDE + 4, _SIDE))


def _mean_picture(mean: Array) -> Image.Image:
    """Draw the mean grid; a thin frame shows where the picture ends."""
    pixels = np.array(Image.fromarray(heatmap_rgb(mean, float(mean.max()) or 1.0)).resize((_SIDE, _SIDE), 0))
    pixels[[0, -1], :] = pixels[:, [0, -1]] = 150
    return Image.fromarray(pixels)


def _pair(explanation: Explanation) -> tuple[Image.Image, Image.Image]:
    heatmap = explanation.heatmap_original
    photo = explanation.photo or Image.new("RGB", (heatmap.shape[1], heatmap.shape[0]), "white")
    size = thumbnail_size(photo.size, _SIDE)
    shrinks = size[0] < photo.width
    small = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC)
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    values = np.asarray(Image.fromarray(heatmap.astype(np.float32)).resize(size, how), np.float64)
    return small, overlay(small, values) if values.any() else small


def _side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    page = Image.new("RGB", (left.width + 4 + right.width, max(left.height, right.height)), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width + 4, 0))
    return page
