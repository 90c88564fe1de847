"""A text's tokens in the colours of their relevance, wrapped like text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsp_onnx.errors import BadInput
from rsp_onnx.render.canvas import Box, Page
from rsp_onnx.render.colours import colour_limit, heatmap_rgb
from rsp_onnx.render.frame import WIDTH, Body
from rsp_onnx.render.text import Words, text_width, wrap

_SIZE, _ROW, _BOX = 15, 30, 24  # pixels: of the font, from line to line, of a token's box
_PAD, _APART = 5, 4
_MOST = 1500  # tokens that are drawn: a page of some fifty to a hundred lines
_STRONGEST = 0.7  # of the scale's dark end, so that words on it can be read
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_MIDDLE = 0.179  # the luminance on which black letters and white ones have the same contrast


def tokens(relevance: NDArray[Any], words: Sequence[str], page: int = WIDTH, limit: float | None = None) -> Body:
    """Draw words, each on its colour.

    Parameters
    ----------
    relevance : ndarray, shape [T]
    words : sequence of str
        What each token is called.
    page : int
        Pixels a line is wide.
    limit : float, optional
        Absolute value of the strongest colours; None takes the map's own.

    Raises
    ------
    BadInput
        The map has other axes, no entry, or values that are not finite.
    """
    values = np.asarray(relevance, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise BadInput(f"A map of the shape {values.shape} cannot be drawn as tokens.")
    limit = colour_limit(values[None], 100.0) if limit is None else limit
    said = (f"the first {_MOST} of {len(values)} tokens",) if len(values) > _MOST else ()
    x, y = 0, 0
    boxes, texts = [], []
    for word, (r, g, b) in zip(words[:_MOST], shade(values, limit), strict=False):
        text = wrap(word, page - 2 * _PAD, _SIZE)[0] or "␣"
        width = round(text_width(text, _SIZE)) + 2 * _PAD
        if x and x + width > page:
            x, y = 0, y + _ROW
        boxes.append(Box(x, y + (_ROW - _BOX) // 2, width, _BOX, (int(r), int(g), int(b))))
        texts.append(Words(text, x + width / 2, y + _ROW / 2, _SIZE, "center", colour=ink((r, g, b))))
        x += width + _APART
    return Body(Page(page, y + _ROW, tuple(texts), tuple(boxes)), limit, said)


def shade(values: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    """Colours behind words [n, 3]; white where nothing speaks."""
    return np.asarray(heatmap_rgb(np.clip(values / limit, -1, 1)[None] * _STRONGEST, 1.0)[0])


def ink(colour: Sequence[int]) -> str:
    """Return black or white, whichever can be read on a colour; see WCAG 2.2 on relative luminance."""
    share = np.asarray(colour, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return "#000000" if float(linear @ _LUMINANCE) > _MIDDLE else "#ffffff"
