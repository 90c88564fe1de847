"""What stands around every picture of relevance: title and lines above, the colour bar below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from .canvas import Page, Raster
from .colours import heatmap_rgb
from .text import Words, wrap

GAP = 12
MARGIN = 20
WIDTH = 820  # pixels of what has no size of its own: charts, lines of words
LEADING = 1.4  # of the font height, from line to line
CAPTION = 14  # font heights in pixels
GREY = "#555555"
_TITLE, _LINE = 22, 15
_BAR_HEIGHT, _LONGEST_BAR = 14, 360
_TITLE_LINES, _RIVAL_LINES, _MOST_LINES, _END_LINES = 4, 3, 12, 3
_MUCH = 380  # characters of names that are tried; no more fit
_RED, _BLUE = "#b3101f", "#1f49c0"


@dataclass(frozen=True)
class Heading:
    """What is written around a picture.

    Attributes
    ----------
    title : str
        Usually the class; any characters, wrapped.
    score : str
        Behind the title, also where that is too long.
    rivals : tuple of str
        Classes the map holds the class against; named above the picture and at the scale's end.
    lines : tuple of str
        Smaller lines below.
    ends : tuple of str
        What the scale's ends mean: below zero (where there are no rivals), above zero.
    """

    title: str
    score: str = ""
    rivals: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    ends: tuple[str, str] = ("speaks against", "speaks for")

    @property
    def about(self) -> tuple[str, str]:
        """Title and description of a file."""
        against = f"against {' · '.join(self.rivals)}" if self.rivals else ""
        below = f"for {' · '.join(self.rivals)}" if self.rivals else self.ends[0]
        scale = f"Red: {self.ends[1]}. Blue: {below}."
        return _joined(self.title, self.score), ". ".join(t for t in (against, *self.lines, scale) if t)


@dataclass(frozen=True)
class Body:
    """What is drawn of a map, without title and scale.

    Attributes
    ----------
    limit : float
        The value at the scale's ends.
    lines : tuple of str
        What must be said of it above.
    least : int
        Pixels the page with title and scale is wide at least.
    """

    page: Page
    limit: float
    lines: tuple[str, ...] = ()
    least: int = 0


def _joined(title: str, score: str) -> str:
    return f"{title} · {score}" if title and score else title or score


def head(heading: Heading, width: int) -> tuple[list[Words], int]:
    """Return what stands above a picture on a page of that width, and the height where what is below begins."""
    room, y = width - 2 * MARGIN, float(MARGIN)
    words = []
    for text in _title(heading, room):
        words.append(Words(text, width / 2, y + _TITLE * LEADING / 2, _TITLE, "center", bold=True))
        y += _TITLE * LEADING
    rivals = listed("against ", heading.rivals, room, _LINE, _RIVAL_LINES) if heading.rivals else []
    others = [part for line in heading.lines[:_MOST_LINES] for part in wrap(line, room, _LINE, lines=2)]
    for text in (*rivals, *others[:_MOST_LINES]):
        words.append(Words(text, width / 2, y + _LINE * LEADING / 2, _LINE, "center", colour=GREY))
        y += _LINE * LEADING
    return words, round(y) + GAP


def _title(heading: Heading, room: float) -> list[str]:
    """Return title and score, in one line or the score below; a title that is too long is cut, never the score."""
    whole = wrap(_joined(heading.title, heading.score), room, _TITLE, bold=True)
    if not _is_cut(whole, heading.score or heading.title):
        return whole
    below = wrap(heading.score, room, _TITLE, lines=2, bold=True) if heading.score else []
    return [*wrap(heading.title, room, _TITLE, lines=_TITLE_LINES - 1, bold=True), *below]


def _is_cut(found: Sequence[str], text: str) -> bool:
    return found[-1].endswith("…") and not text.rstrip().endswith("…")


def listed(prefix: str, names: Sequence[str], width: float, size: float, lines: int) -> list[str]:
    """Wrap names into at most that many lines; those that find no room are counted: "and 7 more"."""
    names = [" ".join(name.split()) for name in names]
    least, most = 1, len(names)
    while most > 1 and sum(len(name) + 3 for name in names[:most]) > _MUCH:
        most -= 1
    while least < most:
        middle = (least + most + 1) // 2
        text = _some(prefix, names, middle)
        least, most = (least, middle - 1) if _is_cut(wrap(text, width, size, lines=lines), text) else (middle, most)
    text = _some(prefix, names, least)
    found = wrap(text, width, size, lines=lines)
    if not _is_cut(found, text) or len(names) == 1:
        return found
    # one name alone is longer than all the room
    return [*wrap(prefix + names[0], width, size, lines=lines - 1), f"and {len(names) - 1} more"]


def _some(prefix: str, names: Sequence[str], count: int) -> str:
    rest = f" and {len(names) - count} more" if count < len(names) else ""
    return prefix + " · ".join(names[:count]) + rest


def framed(drawn: Body, heading: Heading) -> Page:
    """Return a page with title, body (in the middle) and colour bar."""
    heading, body, limit = replace(heading, lines=(*heading.lines, *drawn.lines)), drawn.page, drawn.limit
    width = max(drawn.least, body.width + 2 * MARGIN)
    words, top = head(heading, width)
    bottom = top + body.height + GAP
    bar, below, height = _bar(width, bottom, limit, heading)
    page = Page(width, height, (*words, *below), rasters=(bar,), about=heading.about)
    return page.with_part(body, (width - body.width) // 2, top)


def colour_bar(length: int) -> Image.Image:
    """Return the scale from blue to red with a thin frame."""
    ramp = np.broadcast_to(np.linspace(-1.0, 1.0, length), (_BAR_HEIGHT, length))
    pixels = heatmap_rgb(ramp, 1.0)
    pixels[[0, -1], :] = 120
    pixels[:, [0, -1]] = 120
    return Image.fromarray(pixels)


def scale_end(limit: float) -> str:
    """Return the number at the scale's end, two digits of it."""
    return f"{float(f'{limit:.2g}'):g}"


def _bar(width: int, top: int, limit: float, heading: Heading) -> tuple[Raster, list[Words], int]:
    """Return the bar, the words below it, and the height of the page."""
    length = min(_LONGEST_BAR, width - 2 * MARGIN)
    left, end = (width - length) // 2, scale_end(limit)
    step = CAPTION * LEADING
    y = top + _BAR_HEIGHT + step / 2 + 2
    numbers = ((f"−{end}", left), ("0", left + length / 2), (f"+{end}", left + length))
    words = [Words(text, x, y, CAPTION, "center", colour=GREY) for text, x in numbers]
    room = 2 * min(left - MARGIN // 2, length / 2 - 10)  # neither off the page nor into the other end
    against = (
        listed("for ", heading.rivals, room, CAPTION, _END_LINES)  # what speaks against the class speaks for them
        if heading.rivals
        else wrap(heading.ends[0], room, CAPTION, lines=_END_LINES)
    )
    ends = (against, left, _BLUE), (wrap(heading.ends[1], room, CAPTION, lines=_END_LINES), left + length, _RED)
    for texts, x, colour in ends:
        for n, text in enumerate(texts, 1):
            words.append(Words(text, x, y + n * step, CAPTION, "center", colour=colour))
    most = max(len(texts) for texts, _, _ in ends)
    return Raster(colour_bar(length), left, top), words, round(y + (most + 0.5) * step) + MARGIN // 2
