"""Two maps of one input on one scale, and what is between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.render.colours import colour_limit, heatmap_rgb, overlay, smooth
from rsp_onnx.render.page import embedded
from rsp_onnx.types import Array

_SIDE = 448  # longest side of a picture in pixels
_THINNEST = 56  # pixels of a map that is a single row, such as a signal's
_SIGMA = 0.015  # of the root of a picture's area: single pixels say nothing
_FAINT = 0.1  # of the maps' limit: where they differ by less, the difference stays pale


@dataclass(frozen=True)
class MapComparison:
    """Three pictures as data URIs, and their scale in words."""

    before: str
    after: str
    difference: str
    scale: str


def comparison_of(
    before: Array, after: Array, photo: Image.Image | None = None, *, own_scales: bool = False
) -> MapComparison:
    """Draw two maps of one input and their difference.

    Parameters
    ----------
    before, after : ndarray
        [H, W] or [L], of one shape; values that are not finite count as 0.
    photo : PIL.Image.Image, optional
        Of any size; the maps are laid over it.
    own_scales : bool
        Divide each map by its own colour limit first, as two models' maps must be; else both keep one scale, so that a
        map which became fainter looks fainter.

    Raises
    ------
    BadInput
        The maps have other shapes, or more than two axes.
    """
    maps = [np.atleast_2d(np.nan_to_num(np.asarray(m, np.float64), posinf=0.0, neginf=0.0)) for m in (before, after)]
    if maps[0].shape != maps[1].shape or maps[0].ndim != 2:
        raise BadInput(f"Maps of the shapes {np.shape(before)} and {np.shape(after)} cannot be compared.")
    limits = [_limit(m) for m in maps]
    if not own_scales:
        limits = [max(limits)] * 2
    shares = [m / limit for m, limit in zip(maps, limits, strict=True)]
    size = _size(photo.size if photo is not None else (maps[0].shape[1], maps[0].shape[0]))
    drawn = [_drawn(share, photo, size) for share in shares]
    between, limit = _difference(shares, size)
    return MapComparison(_uri(drawn[0], photo), _uri(drawn[1], photo), _uri(between, None), _words(limits, limit))


def _limit(values: Array) -> float:
    return colour_limit(values) if values.any() else 1.0


def _words(limits: list[float], difference: float) -> str:
    if limits[0] == limits[1]:
        scale = f"Both maps on one scale, ± {limits[0]:.2g}"
    else:
        scale = f"Each map on its own scale, ± {limits[0]:.2g} and ± {limits[1]:.2g}"
    return f"{scale}; the difference ± {difference:.0%} of it."


def _size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) with the longer side near ``_SIDE``; small maps grow by a whole factor."""
    factor = _SIDE // max(size) or _SIDE / max(size)
    return max(_THINNEST, round(size[0] * factor)), max(_THINNEST, round(size[1] * factor))


def _drawn(share: Array, photo: Image.Image | None, size: tuple[int, int]) -> Image.Image:
    clipped = np.clip(share, -1, 1)
    if photo is None:
        return Image.fromarray(heatmap_rgb(clipped, 1.0)).resize(size, Image.Resampling.NEAREST)
    how = Image.Resampling.LANCZOS if size[0] < photo.width else Image.Resampling.BICUBIC
    ground = photo.convert("RGB").resize(size, how)
    values = _resized(clipped, size)
    return overlay(ground, values, 1.0) if values.any() else ground


def _difference(shares: list[Array], size: tuple[int, int]) -> tuple[Image.Image, float]:
    between = _resized(np.clip(shares[1], -1, 1) - np.clip(shares[0], -1, 1), size)
    soft = smooth(between, _SIGMA * between.size**0.5)
    limit = max(_limit(soft) if soft.any() else 0.0, _FAINT)
    return Image.fromarray(heatmap_rgb(soft, limit)), limit


def _resized(values: Array, size: tuple[int, int]) -> Array:
    """Return a map at another size (width, height): the mean over areas where it shrinks."""
    how = Image.Resampling.BOX if size[0] < values.shape[1] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, how), np.float64)


def _uri(picture: Image.Image, photo: Image.Image | None) -> str:
    return embedded(picture, "png" if photo is None else "jpeg")
