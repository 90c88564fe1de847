"""What stands around every picture of relevance: title and lines above, the colour bar below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .colours import heatmap_rgb
from .text import Words, wrap

GAP, MARGIN = 12, 20
LEADING = 1.4  # of the font height, from line to line
CAPTION = 14  # font heights in pixels
GREY = "#555555"
_TITLE, _LINE = 22, 15
_BAR_HEIGHT, _LONGEST_BAR = 14, 360
_MOST_LINES = 12


def head(title: str, lines: Sequence[str], width: int) -> tuple[list[Words], int]:
    """Return title and lines on a page of that width, and the height where what is below begins."""
    room, y = width - 2 * MARGIN, float(MARGIN)
    words = []
    for text in wrap(title, room, _TITLE, lines=2, bold=True):
        words.append(Words(text, width / 2, y + _TITLE * LEADING / 2, _TITLE, "center", bold=True))
        y += _TITLE * LEADING
    for line in lines[:_MOST_LINES]:
        text = wrap(line, room, _LINE)[0]
        words.append(Words(text, width / 2, y + _LINE * LEADING / 2, _LINE, "center", colour=GREY))
        y += _LINE * LEADING
    return words, round(y) + GAP


def colour_bar(width: int) -> tuple[Image.Image, int]:
    """Return the scale from blue to red with a thin frame, and its left edge on a page of that width."""
    length = min(_LONGEST_BAR, width - 2 * MARGIN)
    ramp = np.broadcast_to(np.linspace(-1.0, 1.0, length), (_BAR_HEIGHT, length))
    pixels = heatmap_rgb(ramp, 1.0)
    pixels[[0, -1], :] = 120
    pixels[:, [0, -1]] = 120
    return Image.fromarray(pixels), (width - length) // 2


def bar_words(width: int, top: int, limit: float, label: str) -> tuple[list[Words], int]:
    """Return the words below a bar that lies at `top` on a page of that width, and the height of the page."""
    bar, left = colour_bar(width)
    end = f"{float(f'{limit:.2g}'):g}"
    y = top + _BAR_HEIGHT + CAPTION * LEADING / 2 + 2
    sides, ends = y, y + CAPTION * LEADING
    room = 2 * min(left - MARGIN // 2, bar.width - 60)  # neither off the page nor into "against"
    words = [
        Words(f"−{end}", left, sides, CAPTION, "center", colour=GREY),
        Words("0", left + bar.width / 2, sides, CAPTION, "center", colour=GREY),
        Words(f"+{end}", left + bar.width, sides, CAPTION, "center", colour=GREY),
        Words("against", left, ends, CAPTION, "center", colour="#1f49c0"),
        Words(wrap(f"for {label}", room, CAPTION)[0], left + bar.width, ends, CAPTION, "center", colour="#b3101f"),
    ]
    return words, round(ends + CAPTION * LEADING / 2) + MARGIN // 2
