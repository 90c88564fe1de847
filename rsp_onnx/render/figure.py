"""The picture of one explanation: photograph, map, and both in one, with a colour bar."""

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
from .text import Words, draw_words, wrap

_PANEL = 560  # longest side of a panel in pixels
_LOW_RESOLUTION = 64  # photos below are shown with their pixels, like the map
_GAP, _MARGIN = 12, 20
_TITLE, _LINE, _CAPTION = 22, 15, 14  # font heights in pixels
_LEADING = 1.4  # of the font height, from line to line
_LEAST_WIDTH = 640  # of the page, so that titles over small photos can be read
_BAR_HEIGHT = 14
_MOST_LINES = 12
_FRAME = (205, 205, 205)
_CAPTIONS = ("photo", "relevance", "overlay")


@dataclass(frozen=True)
class _Panels:
    """Where the three panels lie on the page, in pixels; `top` is that of the first caption."""

    size: tuple[int, int]
    corners: tuple[tuple[int, int], ...]
    width: int
    bottom: int


def figure(
    photo: Image.Image, heatmap_original: NDArray[Any], *, title: str, lines: Sequence[str] = (),
    limit: float | None = None, label: str = "the class",
) -> Image.Image:  # fmt: skip
    """Draw photo, relevance and overlay beside each other (wide panoramas: below each other).

    The relevance panel shows the true values; the overlay is smoothed.

    Parameters
    ----------
    photo : PIL.Image.Image
        The upright photograph.
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
    if values.shape != (photo.height, photo.width):
        raise BadInput(
            f"The map has shape {values.shape}, but the photo {(photo.height, photo.width)} (height, width): "
            "lay the map on the original first."
        )
    limit = colour_limit(values) if limit is None else limit
    size = _panel_size(photo.size)
    width = max(_LEAST_WIDTH, _row(size)[0] + 2 * _MARGIN)
    head, top = _head(title, lines, width)
    panels = _place(size, width, top)
    bar, height = _bar_words(panels, limit, label)
    page = draw_words(width, height, [*head, *_captions(panels), *bar])
    for picture, corner in zip(_pictures(photo, values, limit, size), panels.corners, strict=True):
        # a hair line around, because a map is white up to its borders
        page.paste(_FRAME, (corner[0] - 1, corner[1] - 1, corner[0] + size[0] + 1, corner[1] + size[1] + 1))
        page.paste(picture, corner)
    page.paste(_bar(panels), (_bar_left(panels), panels.bottom + _GAP))
    return page


def _panel_size(photo: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a panel: small photos enlarged by a whole factor, large ones shrunk."""
    longest = max(photo)
    factor = _PANEL // longest if longest <= _PANEL else _PANEL / longest
    if photo[0] > 3 * photo[1]:  # a panorama is drawn across the page
        factor = (3 * _PANEL) // photo[0] or 3 * _PANEL / photo[0]
    return max(1, round(photo[0] * factor)), max(1, round(photo[1] * factor))


def _stacked(size: tuple[int, int]) -> bool:
    return size[0] > 2.5 * size[1] and size[0] > _PANEL


def _row(size: tuple[int, int]) -> tuple[int, int]:
    """(width, step) of the panels on the page."""
    if _stacked(size):
        return size[0], 0
    step = max(size[0], 90) + _GAP  # 90: room for the captions over very narrow panels
    return 3 * step - _GAP, step


def _head(title: str, lines: Sequence[str], width: int) -> tuple[list[Words], int]:
    """Title and lines, and where the panels' captions begin."""
    room, y = width - 2 * _MARGIN, float(_MARGIN)
    words = []
    for text in wrap(title, room, _TITLE, lines=2, bold=True):
        words.append(Words(text, width / 2, y + _TITLE * _LEADING / 2, _TITLE, "center", bold=True))
        y += _TITLE * _LEADING
    for line in lines[:_MOST_LINES]:
        text = wrap(line, room, _LINE)[0]
        words.append(Words(text, width / 2, y + _LINE * _LEADING / 2, _LINE, "center", colour="#555555"))
        y += _LINE * _LEADING
    return words, round(y) + _GAP


def _place(size: tuple[int, int], width: int, top: int) -> _Panels:
    above = round(_CAPTION * _LEADING)
    total, step = _row(size)
    left = (width - total) // 2
    if _stacked(size):
        down = size[1] + above + _GAP
        corners = tuple((left, top + above + i * down) for i in range(3))
    else:
        inset = (step - _GAP - size[0]) // 2
        corners = tuple((left + inset + i * step, top + above) for i in range(3))
    return _Panels(size, corners, width, corners[-1][1] + size[1])


def _captions(panels: _Panels) -> list[Words]:
    return [
        Words(text, x + panels.size[0] / 2, y - _CAPTION * _LEADING / 2, _CAPTION, "center", colour="#555555")
        for text, (x, y) in zip(_CAPTIONS, panels.corners, strict=True)
    ]


def _pictures(
    photo: Image.Image, values: NDArray[np.float64], limit: float, size: tuple[int, int]
) -> list[Image.Image]:
    enlarged = size[0] >= photo.width
    fine = Image.Resampling.NEAREST if max(photo.size) < _LOW_RESOLUTION else Image.Resampling.BICUBIC
    # the map keeps its pixels when enlarged; shrunk, its colours are averaged, so that dots of both signs
    # turn pale instead of flickering
    plain = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    map_picture = Image.fromarray(heatmap_rgb(values, limit))
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


def _bar_width(panels: _Panels) -> int:
    return min(360, panels.width - 2 * _MARGIN)


def _bar_left(panels: _Panels) -> int:
    return (panels.width - _bar_width(panels)) // 2


def _bar(panels: _Panels) -> Image.Image:
    """Draw the scale from blue to red with a thin frame."""
    width = _bar_width(panels)
    ramp = np.broadcast_to(np.linspace(-1.0, 1.0, width), (_BAR_HEIGHT, width))
    pixels = heatmap_rgb(ramp, 1.0)
    pixels[[0, -1], :] = 120
    pixels[:, [0, -1]] = 120
    return Image.fromarray(pixels)


def _bar_words(panels: _Panels, limit: float, label: str) -> tuple[list[Words], int]:
    """Words below the bar, and the height of the page."""
    left, width = _bar_left(panels), _bar_width(panels)
    y = panels.bottom + _GAP + _BAR_HEIGHT + _CAPTION * _LEADING / 2 + 2
    sides, ends = y, y + _CAPTION * _LEADING
    room = 2 * min(left - _MARGIN // 2, width - 60)  # neither off the page nor into "against"
    words = [
        Words(f"−{limit:.2g}", left, sides, _CAPTION, "center", colour="#555555"),
        Words("0", left + width / 2, sides, _CAPTION, "center", colour="#555555"),
        Words(f"+{limit:.2g}", left + width, sides, _CAPTION, "center", colour="#555555"),
        Words("against", left, ends, _CAPTION, "center", colour="#1f49c0"),
        Words(wrap(f"for {label}", room, _CAPTION)[0], left + width, ends, _CAPTION, "center", colour="#b3101f"),
    ]
    return words, round(ends + _CAPTION * _LEADING / 2) + _MARGIN // 2
