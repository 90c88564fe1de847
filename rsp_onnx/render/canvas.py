"""A page before it is drawn: where words, pictures, boxes and charts stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from .text import PX, Words, draw_words

Bounds: TypeAlias = "tuple[float, float, float, float]"  # left, bottom, width, height, in shares of a figure
Draw: TypeAlias = "Callable[[Any, Bounds], None]"  # draws axes onto a matplotlib Figure, within the bounds


@dataclass(frozen=True)
class Box:
    """A plain rectangle, in pixels from the upper left corner. colour: RGB, 0..255."""

    left: int
    top: int
    width: int
    height: int
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Raster:
    """A picture in its own size, its upper left corner in pixels."""

    picture: Image.Image
    left: int
    top: int


@dataclass(frozen=True)
class Chart:
    """A chart that matplotlib draws, on a figure of its own or on a part of one."""

    left: int
    top: int
    width: int
    height: int
    draw: Draw


@dataclass(frozen=True)
class Page:
    """What stands where on a white page: boxes lowest, then pictures and charts, words above all.

    Attributes
    ----------
    width, height : int
        Pixels.
    about : tuple of str
        Title and description, for formats that keep them.
    """

    width: int
    height: int
    words: tuple[Words, ...] = ()
    boxes: tuple[Box, ...] = ()
    rasters: tuple[Raster, ...] = ()
    charts: tuple[Chart, ...] = ()
    about: tuple[str, str] = ("", "")

    def image(self) -> Image.Image:
        """Draw it as pixels; RGB, the same bytes for the same page."""
        under = Image.new("RGB", (self.width, self.height), "white")
        for box in self.boxes:
            under.paste(box.colour, (box.left, box.top, box.left + box.width, box.top + box.height))
        for raster in self.rasters:
            under.paste(raster.picture, (raster.left, raster.top))
        for chart in self.charts:
            under.paste(_drawn(chart), (chart.left, chart.top))
        return draw_words(self.width, self.height, self.words, under) if self.words else under

    def with_part(self, part: Page, left: int, top: int) -> Page:
        """Return this page with another one laid upon it, its corner at (left, top)."""
        return replace(
            self,
            words=(*self.words, *(replace(w, x=w.x + left, y=w.y + top) for w in part.words)),
            boxes=(*self.boxes, *_moved(part.boxes, left, top)),
            rasters=(*self.rasters, *_moved(part.rasters, left, top)),
            charts=(*self.charts, *_moved(part.charts, left, top)),
        )


def _moved(parts: Iterable[Any], left: int, top: int) -> list[Any]:
    return [replace(part, left=part.left + left, top=part.top + top) for part in parts]


def _drawn(chart: Chart) -> Image.Image:
    """Draw a chart on a figure of its own; never pyplot, which is not safe between threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = ((chart.width + 0.5) / PX, (chart.height + 0.5) / PX)
    canvas: Any = FigureCanvasAgg(Figure(figsize=size, dpi=PX, facecolor="white"))
    chart.draw(canvas.figure, (0.0, 0.0, 1.0, 1.0))
    canvas.draw()
    return Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3]))
