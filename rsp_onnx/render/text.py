"""Any text on a picture: whatever characters labels hold, however long they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

_FONT = "DejaVu Sans"  # comes with matplotlib: the same letters on every machine
# fonts with many scripts that systems bring along; asked only for letters the first font lacks
_MORE_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS", "Hiragino Sans", "PingFang SC",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Droid Sans Fallback",
)  # fmt: skip
_UNKNOWN = "□"
_LONGEST = 400  # characters that are looked at; nothing longer fits a picture
PX = 72  # at 72 dpi a font's points are pixels


@dataclass(frozen=True)
class Words:
    """One line of text on a picture.

    Parameters
    ----------
    text : str
        Drawn as it is: no mathtext, no TeX.
    x, y : float
        Of the anchor, in pixels from the upper left corner; y is the middle of the line.
    size : float
        Height of the font in pixels.
    anchor : {"left", "center", "right"}
        Which end of the text x is.
    bold : bool
        Weight.
    colour : str
        As matplotlib names them.
    """

    text: str
    x: float
    y: float
    size: float
    anchor: str = "left"
    bold: bool = False
    colour: str = "#222222"


def draw_words(width: int, height: int, words: Sequence[Words], under: Image.Image | None = None) -> Image.Image:
    """Draw lines of text on a picture of width × height pixels, white where there is none; RGB."""
    # matplotlib takes half a second to import, so only those who draw wait for it; its Figure as much again, and
    # nothing here needs one; never pyplot: it is not safe between threads
    from matplotlib.text import Text

    renderer = _renderer(width, height)
    pixels = np.asarray(renderer.buffer_rgba())
    pixels[:] = 255
    if under is not None:
        pixels[:, :, :3] = np.asarray(under)
    for line in words:
        text, font = drawable(line.text, line.size, line.bold)
        place: dict[str, Any] = {"horizontalalignment": line.anchor, "verticalalignment": "center"}
        plain: dict[str, Any] = {"parse_math": False, "usetex": False}
        drawn: Any = Text(line.x, height - line.y, text, fontproperties=font, color=line.colour, **place, **plain)
        drawn.set_figure(_Page())
        drawn.draw(renderer)
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))


def get_ready() -> None:
    """Import what drawing needs and find the fonts: half a second, for a thread beside other work."""
    from matplotlib.text import Text

    assert Text is not None
    for bold in (False, True):
        text_width("0", 12.0, bold)


class _Page:
    """What a line of text asks of the figure it stands on: how many pixels an inch has."""

    dpi = PX

    def get_figure(self, root: bool | None = None) -> _Page:
        return self


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line in pixels."""
    letters, font = drawable(text, size, bold)
    width, _, _ = _renderer(1, 1).get_text_width_height_descent(letters, font, False)
    return float(width)


def wrap(text: str, width: float, size: float, *, lines: int = 1, bold: bool = False) -> list[str]:
    """Break a text into at most `lines` lines of `width` pixels; what does not fit ends in "…".

    Parameters
    ----------
    text : str
        White space of any kind becomes single blanks.
    width : float
        Pixels.
    size : float
        Height of the font in pixels.
    lines : int
        At least 1.
    bold : bool
        Weight.

    Returns
    -------
    list of str
        At least one line.
    """
    rest = " ".join(text[:_LONGEST].split()) + ("…" if len(text) > _LONGEST else "")
    done: list[str] = []
    while rest:
        fitting = _fitting(rest, width, size, bold)
        if fitting == len(rest) or len(done) == lines - 1:
            break
        blank = rest.rfind(" ", 0, fitting + 1)
        cut = blank if blank > 0 else fitting  # a word wider than the line is broken
        done.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*done, _elide(rest, width, size, bold)]


def _elide(text: str, width: float, size: float, bold: bool) -> str:
    if text_width(text, size, bold) <= width:
        return text
    dots = text_width("…", size, bold)
    return text[: _fitting(text, width - dots, size, bold)].rstrip() + "…"


def _fitting(text: str, width: float, size: float, bold: bool) -> int:
    """Length of the longest beginning that is not wider than `width`, at least 1; by bisection."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(text[:middle], size, bold) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _renderer(width: int, height: int) -> Any:
    from matplotlib.backends import backend_agg

    untyped: Any = backend_agg
    return untyped.RendererAgg(width, height, PX)


def drawable(text: str, size: float, bold: bool) -> tuple[str, FontProperties]:
    """Return a text as it can be drawn, and its fonts; a letter that none has is □, because matplotlib would warn."""
    from matplotlib.font_manager import FontProperties

    families = [_FONT]
    missing = {c for c in text if not _has(_FONT, bold, c)}
    for family in _MORE_FONTS if missing else ():
        drawn = {c for c in missing if _has(family, bold, c)}
        if drawn:
            families.append(family)
            missing -= drawn
    clean = "".join(_UNKNOWN if c in missing else c for c in text)
    return clean, FontProperties(family=families, size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=4096)
def _has(family: str, bold: bool, letter: str) -> bool:
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

    if unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Co"):  # control, half a surrogate pair, no letter
        return False
    if family != _FONT and family not in fontManager.get_font_names():
        return False
    path = findfont(FontProperties(family=[family], weight="bold" if bold else "normal"))
    return bool(get_font(path).get_char_index(ord(letter)))
