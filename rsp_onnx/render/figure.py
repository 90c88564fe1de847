"""The picture of one explanation: photograph, map, and both in one, with a colour bar; or the map alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.geometry import finite_map

from .colours import colour_limit, heatmap_rgb, overlay
from .frame import CAPTION, GAP, GREY, LEADING, MARGIN, bar_words, colour_bar, head
from .text import Words, draw_words

_PANEL = 560  # longest side of a panel in pixels
_LOW_RESOLUTION = 64  # photos below are shown with their pixels, like the map
_THINNEST = 60  # pixels of a map without a photo, whose sides need not be as long as they are
_LEAST_WIDTH = 640  # of the page, so that titles over small photos can be read
_BLACK = 64  # a photo without a brighter pixel would be a black panel
_FRAME = (205, 205, 205)
_NAMES = ("photo", "relevance", "overlay")


@dataclass(frozen=True)
class _Panels:
    """Where the panels lie on the page, in pixels."""

    size: tuple[int, int]
    corners: tuple[tuple[int, int], ...]
    bottom: int


def figure(
    photo: Image.Image | None, heatmap_original: NDArray[Any], *, title: str, lines: Sequence[str] = (),
    limit: float | None = None, label: str = "the class",
) -> Image.Image:  # fmt: skip
    """Draw photo, relevance and overlay beside each other (wide panoramas: below each other).

    The relevance panel shows the true values; the overlay is smoothed.

    Parameters
    ----------
    photo : PIL.Image.Image or None
        The upright photograph; None draws the relevance alone.
    heatmap_original : ndarray, shape [H, W]
        Relevance of each of its pixels.
    title : str
        Usually the class and its score; any characters, wrapped to two lines.
    lines : sequence of str
        Smaller lines below, such as the hostile classes; the first twelve, each cut to one line.
    limit : float, optional
        Absolute value of the strongest colours; None takes `colour_limit`.
    label : str
        Name of the class for the colour bar: "for <label>".

    Returns
    -------
    PIL.Image.Image
        RGB; the same bytes for the same arguments.

    Raises
    ------
    BadInput
        If photo and map differ in size, or the map cannot be drawn.
    """
    values = finite_map(heatmap_original)
    if photo is not None and values.shape != (photo.height, photo.width):
        raise BadInput(
            f"The map has shape {values.shape}, but the photo {(photo.height, photo.width)} (height, width): "
            "lay the map on the original first."
        )
    limit = colour_limit(values) if limit is None else limit
    photo, names = _seen(photo)
    size = _panel_size(values.shape[::-1], _THINNEST if photo is None else 1)
    width = max(_LEAST_WIDTH, _row(size, len(names))[0] + 2 * MARGIN)
    words, top = head(title, lines, width)
    panels = _place(size, width, top, len(names))
    below, height = bar_words(width, panels.bottom + GAP, limit, label)
    page = draw_words(width, height, [*words, *_captions(panels, names), *below])
    for picture, corner in zip(_pictures(photo, values, limit, size), panels.corners, strict=True):
        # a hair line around, because a map is white up to its borders
        page.paste(_FRAME, (corner[0] - 1, corner[1] - 1, corner[0] + size[0] + 1, corner[1] + size[1] + 1))
        page.paste(picture, corner)
    bar, left = colour_bar(width)
    page.paste(bar, (left, panels.bottom + GAP))
    return page


def _seen(photo: Image.Image | None) -> tuple[Image.Image | None, tuple[str, ...]]:
    """Return the photo so that it can be seen, and the panels' names: values of 12 bits in 16 are nearly black."""
    if photo is None:
        return None, _NAMES[1:2]
    pixels = np.asarray(photo.convert("RGB"))
    top = int(pixels.max())
    if not 0 < top < _BLACK:
        return photo, _NAMES
    bright = Image.fromarray((pixels * (255.0 / top)).astype(np.uint8))
    return bright, (f"{_NAMES[0]}, brightened", *_NAMES[1:])


def _panel_size(photo: tuple[int, ...], thinnest: int) -> tuple[int, int]:
    """(width, height) of a panel: small photos enlarged by a whole factor, large ones shrunk."""
    longest = max(photo)
    factor = _PANEL // longest if longest <= _PANEL else _PANEL / longest
    if photo[0] > 3 * photo[1]:  # a panorama is drawn across the page
        factor = (3 * _PANEL) // photo[0] or 3 * _PANEL / photo[0]
    return max(thinnest, round(photo[0] * factor)), max(thinnest, round(photo[1] * factor))


def _stacked(size: tuple[int, int]) -> bool:
    return size[0] > 2.5 * size[1] and size[0] > _PANEL


def _row(size: tuple[int, int], count: int) -> tuple[int, int]:
    """(width, step) of the panels on the page."""
    if _stacked(size):
        return size[0], 0
    step = max(size[0], 90) + GAP  # 90: room for the captions over very narrow panels
    return count * step - GAP, step


def _place(size: tuple[int, int], width: int, top: int, count: int) -> _Panels:
    above = round(CAPTION * LEADING)
    total, step = _row(size, count)
    left = (width - total) // 2
    if _stacked(size):
        down = size[1] + above + GAP
        corners = tuple((left, top + above + i * down) for i in range(count))
    else:
        inset = (step - GAP - size[0]) // 2
        corners = tuple((left + inset + i * step, top + above) for i in range(count))
    return _Panels(size, corners, corners[-1][1] + size[1])


def _captions(panels: _Panels, names: Sequence[str]) -> list[Words]:
    return [
        Words(text, x + panels.size[0] / 2, y - CAPTION * LEADING / 2, CAPTION, "center", colour=GREY)
        for text, (x, y) in zip(names, panels.corners, strict=True)
    ]


def _pictures(
    photo: Image.Image | None, values: NDArray[np.float64], limit: float, size: tuple[int, int]
) -> list[Image.Image]:
    enlarged = size[0] >= values.shape[1]
    fine = Image.Resampling.NEAREST if max(values.shape) < _LOW_RESOLUTION else Image.Resampling.BICUBIC
    # the map keeps its pixels when enlarged; shrunk, its colours are averaged, so that dots of both signs
    # turn pale instead of flickering
    plain = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    map_picture = Image.fromarray(heatmap_rgb(values, limit))
    if photo is None:
        return [map_picture.resize(size, plain)]
    return [
        photo.convert("RGB").resize(size, fine),
        map_picture.resize(size, plain),
        _overlay(photo, values, limit, size).resize(size, fine),
    ]


def _overlay(photo: Image.Image, values: NDArray[np.float64], limit: float, size: tuple[int, int]) -> Image.Image:
    """Draw the overlay of a large photo at the size it is shown in: megapixels would take seconds."""
    if size[0] >= photo.width:
        return overlay(photo, values, limit)
    shares = values / limit
    coarse = np.asarray(Image.fromarray(shares.astype(np.float32)).resize(size, Image.Resampling.BOX))
    # averaging makes the values smaller, so the scale shrinks with them, as `overlay` does when it smooths
    return overlay(photo.resize(size, Image.Resampling.BICUBIC), coarse, colour_limit(coarse) / colour_limit(shares))
