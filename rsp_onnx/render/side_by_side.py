"""Two maps side by side: what was recorded and what is there now."""

from __future__ import annotations

import numpy as np
from PIL import Image

from rsp_onnx.types import Array

from .colours import colour_limit, heatmap_rgb
from .text import Words, draw_words, wrap

_SIDE = 224  # pixels of a tile's longer side
_THINNEST = 40  # pixels of a map that is a single row, such as a signal's
_GAP, _LINE, _SIZE = 12, 22, 13.0


def side_by_side(
    golden: Array, now: Array, photo: Image.Image | None = None, title: str = "",
    names: tuple[str, str] = ("recorded", "now"),
) -> Image.Image:  # fmt: skip
    """Draw photo, recorded map and the map now, each map on its own colour scale; RGB.

    Maps of different frameworks and versions differ in size by a factor, which means nothing; their signs and places
    do.
    """
    tiles = [] if photo is None else [("photo", _fitted(photo.convert("RGB"), Image.Resampling.BICUBIC))]
    tiles += [(names[0], _painted(golden)), (names[1], _painted(now))]
    width = sum(t.width for _, t in tiles) + _GAP * (len(tiles) + 1)
    top = _LINE * (2 if title else 1) + _GAP
    height = max(t.height for _, t in tiles) + top + _GAP
    words, left = [], _GAP
    if title:
        words.append(Words(wrap(title, width - 2 * _GAP, _SIZE, bold=True)[0], _GAP, _LINE / 2 + 4, _SIZE, bold=True))
    for name, tile in tiles:
        words.append(Words(name, left, top - _LINE / 2, _SIZE))
        left += tile.width + _GAP
    page, left = draw_words(width, height, words), _GAP
    for _, tile in tiles:
        page.paste(tile, (left, top))
        left += tile.width + _GAP
    return page


def _painted(heatmap: Array) -> Image.Image:
    values = np.atleast_2d(np.asarray(heatmap, np.float64))
    values = np.where(np.isfinite(values), values, 0.0).reshape(values.shape[0], -1)
    painted = Image.fromarray(heatmap_rgb(values, colour_limit(values)))
    return _fitted(painted, Image.Resampling.NEAREST, _THINNEST if len(values) == 1 else 1)


def _fitted(picture: Image.Image, how: Image.Resampling, thinnest: int = 1) -> Image.Image:
    factor = _SIDE / max(picture.size)
    size = (max(thinnest, round(picture.width * factor)), max(thinnest, round(picture.height * factor)))
    return picture.resize(size, how)
