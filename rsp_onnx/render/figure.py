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

from .canvas import Box, Page, Raster
from .charts.axes import Axes
from .colours import colour_limit, heatmap_rgb, overlay
from .frame import CAPTION, GAP, GREY, LEADING, Body, Heading, framed
from .text import Words, wrap

_PANEL = 560  # longest side of a panel in pixels
_LOW_RESOLUTION = 64  # photos below are shown with their pixels, like the map
_THINNEST = 60  # pixels of a map without a photo, whose sides need not be as long as they are
LEAST_WIDTH = 640  # of the page, so that titles over small photos can be read
_BLACK = 64  # a photo without a brighter pixel would be a black panel
_FRAME = (205, 205, 205)
_MAP = "relevance"
LAYOUTS = {"triple": ("photo", _MAP, "overlay"), "pair": ("photo", "overlay"), "overlay": ("overlay",)}


@dataclass(frozen=True)
class _Panels:
    """Where the panels lie, in pixels."""

    size: tuple[int, int]
    corners: tuple[tuple[int, int], ...]
    width: int
    height: int


def figure(
    photo: Image.Image | None, heatmap_original: NDArray[Any], *, title: str, lines: Sequence[str] = (),
    limit: float | None = None, label: str = "", layout: str = "triple",
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
        Usually the class and its score; any characters, wrapped.
    lines : sequence of str
        Smaller lines below.
    limit : float, optional
        Absolute value of the strongest colours; None takes `colour_limit`.
    label : str
        Name of the class for the colour bar: "for <label>" and "against"; without it "speaks for".
    layout : {"triple", "pair", "overlay"}
        All three panels; photo and overlay; the overlay alone.

    Returns
    -------
    PIL.Image.Image
        RGB; the same bytes for the same arguments.

    Raises
    ------
    BadInput
        If photo and map differ in size, the map cannot be drawn, or there is no such layout.
    """
    ends = ("against", f"for {label}") if label else ("speaks against", "speaks for")
    heading = Heading(title, lines=tuple(lines), ends=ends)
    limit = colour_limit(finite_map(heatmap_original)) if limit is None else limit
    body = Body(panels(photo, heatmap_original, limit, layout), limit, least=LEAST_WIDTH)
    return framed(body, heading).image()


def panels(
    photo: Image.Image | None, heatmap: NDArray[Any], limit: float, layout: str = "triple", *,
    axes: Axes | None = None, given: str = "photo", longest: int = _PANEL,
) -> Page:  # fmt: skip
    """Lay out the panels alone, without title and scale.

    Parameters
    ----------
    photo, heatmap, limit, layout
        As of `figure`.
    axes : Axes, optional
        Number the rows and columns of the map.
    given : str
        What the photo is called.
    longest : int
        Pixels of a panel's longer side.
    """
    values = finite_map(heatmap)
    if photo is not None and values.shape != (photo.height, photo.width):
        raise BadInput(
            f"The map has shape {values.shape}, but the photo {(photo.height, photo.width)} (height, width): "
            "lay the map on the original first."
        )
    names = panel_names(layout) if photo is not None else (_MAP,)
    photo, done = seen(photo)
    size = _panel_size(values.shape[::-1], _THINNEST if photo is None else 1, longest)
    captions = [] if names == ("overlay",) else [given + done if name == "photo" else name for name in names]
    placed = _place(size, len(names), axes, round(CAPTION * LEADING) if captions or axes is not None else 1)
    boxes, rasters = [], []
    for picture, (x, y) in zip(_pictures(photo, values, limit, size, names), placed.corners, strict=True):
        # a hair line around, because a map is white up to its borders
        boxes.append(Box(x - 1, y - 1, size[0] + 2, size[1] + 2, _FRAME))
        rasters.append(Raster(picture, x, y))
    words = _captions(placed, captions)
    if axes is not None:
        words += [word for corner in placed.corners for word in axes.words(corner, size, values.shape)]
    return Page(placed.width, placed.height, tuple(words), tuple(boxes), tuple(rasters))


def panel_names(layout: str) -> tuple[str, ...]:
    """Return the panels of a layout; BadInput where there is no such layout."""
    if layout not in LAYOUTS:
        raise BadInput(f"There is no layout {layout!r}; the layouts are {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout]


def seen(photo: Image.Image | None) -> tuple[Image.Image | None, str]:
    """Return a photo so that it can be seen, and what was done: values of 12 bits in 16 are nearly black."""
    if photo is None:
        return None, ""
    pixels = np.asarray(photo.convert("RGB"))
    top = int(pixels.max())
    if not 0 < top < _BLACK:
        return photo, ""
    return Image.fromarray((pixels * (255.0 / top)).astype(np.uint8)), ", brightened"


def _panel_size(photo: tuple[int, ...], thinnest: int, most: int) -> tuple[int, int]:
    """(width, height) of a panel: small photos enlarged by a whole factor, large ones shrunk."""
    longest = max(photo)
    factor = most // longest if longest <= most else most / longest
    if photo[0] > 3 * photo[1]:  # a panorama is drawn across the page
        factor = (3 * most) // photo[0] or 3 * most / photo[0]
    return max(thinnest, round(photo[0] * factor)), max(thinnest, round(photo[1] * factor))


def _place(size: tuple[int, int], count: int, axes: Axes | None, above: int) -> _Panels:
    """Place panels in a row, or below each other where they are wide. Beside each is room for its axes."""
    left, below = (axes.left, axes.below) if axes is not None else (0, 0)
    if size[0] > 2.5 * size[1] and size[0] > _PANEL:
        down = size[1] + above + below + GAP
        corners = tuple((left, above + i * down) for i in range(count))
        return _Panels(size, corners, left + size[0], count * down - GAP)
    least = max(left + size[0], 90)  # room for the captions over very narrow panels
    step, inset = least + GAP, (least - left - size[0]) // 2 + left
    corners = tuple((inset + i * step, above) for i in range(count))
    return _Panels(size, corners, count * step - GAP, above + size[1] + below)


def _captions(placed: _Panels, names: Sequence[str]) -> list[Words]:
    return [
        Words(
            wrap(text, max(placed.size[0], 90), CAPTION)[0],
            x + placed.size[0] / 2,
            y - CAPTION * LEADING / 2,
            CAPTION,
            "center",
            colour=GREY,
        )
        for text, (x, y) in zip(names, placed.corners, strict=False)
    ]


def _pictures(
    photo: Image.Image | None, values: NDArray[np.float64], limit: float, size: tuple[int, int], names: Sequence[str]
) -> list[Image.Image]:
    """Draw the panels asked for, in their order."""
    enlarged = size[0] >= values.shape[1]
    fine = Image.Resampling.NEAREST if max(values.shape) < _LOW_RESOLUTION else Image.Resampling.BICUBIC
    # the map keeps its pixels when enlarged; shrunk, its colours are averaged, so that dots of both signs
    # turn pale instead of flickering
    plain = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    found = []
    for name in names:
        if photo is None or name == _MAP:
            found.append(Image.fromarray(heatmap_rgb(values, limit)).resize(size, plain))
        elif name == "photo":
            found.append(photo.convert("RGB").resize(size, fine))
        else:
            found.append(laid_over(photo, values, limit, size).resize(size, fine))
    return found


def laid_over(photo: Image.Image, values: NDArray[np.float64], limit: float, size: tuple[int, int]) -> Image.Image:
    """Draw the overlay of a large photo at the size it is shown in: megapixels would take seconds."""
    if size[0] >= photo.width:
        return overlay(photo, values, limit)
    shares = values / limit
    coarse = np.asarray(Image.fromarray(shares.astype(np.float32)).resize(size, Image.Resampling.BOX))
    # averaging makes the values smaller, so the scale shrinks with them, as `overlay` does when it smooths
    return overlay(photo.resize(size, Image.Resampling.BICUBIC), coarse, colour_limit(coarse) / colour_limit(shares))
