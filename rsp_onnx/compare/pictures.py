"""The images whose explanation moved most, side by side: photo, A, B, and the difference."""

from __future__ import annotations

import numpy as np
from PIL import Image

from rsp_onnx.render import colour_limit, contact_sheet, heatmap_rgb, overlay, smooth
from rsp_onnx.types import Array

_SIDE = 256  # longest side of a panel in pixels
_SIGMA = 0.015  # of the root of a panel's area
_THINNEST = 40  # pixels of a map without a photo, such as a signal's row
_FAINT = 0.1  # of a map's colour limit: where maps differ by less, the difference stays pale


def thumbnail_size(size: tuple[int, int], side: int = _SIDE) -> tuple[int, int]:
    """Return (width, height) with the longer side at most ``side``; small pictures are enlarged by a whole factor."""
    factor = side // max(size) or side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def row_of_panels(photo: Image.Image | None, maps: tuple[Array, Array], names: tuple[str, str]) -> Image.Image:
    """Return a row of panels: the photo where there is one, A, B, B - A.

    maps: [H, W], of one shape. Each is divided by its own colour limit, for two models' scales are not the same; the
    difference's own limit stands below it, as a share of theirs.
    """
    shares = [np.asarray(m, np.float64) / colour_limit(m) for m in maps]
    if photo is None:
        width, height = thumbnail_size((maps[0].shape[1], maps[0].shape[0]))
        size = max(width, _THINNEST), max(height, _THINNEST)
        panels = [_painted(share, size) for share in shares]
    else:
        size = thumbnail_size(photo.size)
        ground = photo.convert("RGB").resize(size, _filter(photo, size))
        panels = [ground, *(_laid(ground, share) for share in shares)]
    difference = _resized(np.clip(shares[1], -1, 1) - np.clip(shares[0], -1, 1), size)
    soft = smooth(difference, _SIGMA * difference.size**0.5)  # as the overlays are: single pixels say nothing
    limit = max(colour_limit(soft), _FAINT)
    panels.append(Image.fromarray(heatmap_rgb(soft, limit)))
    captions = [*(["photo"] if photo is not None else []), *names, f"second − first, ± {limit:.0%}"]
    return contact_sheet(panels, len(panels), captions=captions)


def _painted(share: Array, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(heatmap_rgb(share, 1.0)).resize(size, Image.Resampling.NEAREST)


def _filter(photo: Image.Image, size: tuple[int, int]) -> Image.Resampling:
    return Image.Resampling.LANCZOS if size[0] < photo.width else Image.Resampling.BICUBIC


def _laid(ground: Image.Image, shares: Array) -> Image.Image:
    values = _resized(np.clip(shares, -1, 1), ground.size)
    return overlay(ground, values) if values.any() else ground


def _resized(values: Array, size: tuple[int, int]) -> Array:
    """Return a map at another size (width, height): the mean over areas where it shrinks."""
    shrinks = size[0] < values.shape[1]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, how), np.float64)
