"""What is drawn of a map: a photograph, a signal's lines, words, a table's bars, a plane or a volume's slices."""

from __future__ import annotations

import numpy as np

from rsp_onnx.inputs.geometry import finite_map
from rsp_onnx.types import Array

from .canvas import Page
from .charts.planes import plane, slices
from .charts.series import MOST_LINES, series
from .charts.tokens import tokens
from .colours import colour_limit
from .figure import LEAST_WIDTH, panel_names, panels
from .frame import WIDTH, Body, Heading, framed
from .kinds import Subject, kind_of
from .page import embedded


def draw(subject: Subject, heading: Heading, layout: str = "triple") -> Page:
    """Draw a map with its title and scale, whatever kind of input it is of.

    Parameters
    ----------
    layout : {"triple", "pair", "overlay"}
        Of photographs, planes and volumes: input, map and overlay; input and overlay; the overlay alone.

    Raises
    ------
    BadInput
        The map cannot be drawn, or there is no such layout.
    """
    return framed(body_of(subject, layout), heading)


def body_of(subject: Subject, layout: str = "triple", width: int = WIDTH, limit: float | None = None) -> Body:
    """Draw a map without title and scale; BadInput as of ``draw``.

    width: of charts and lines of words, in pixels. limit: at the scale's ends; None takes the map's own.
    """
    panel_names(layout)
    kind, subject = kind_of(subject), subject.channels_first()
    if kind == "photo":
        heatmap = finite_map(subject.heatmap_original)
        limit = colour_limit(heatmap) if limit is None else limit
        return Body(panels(subject.photo, heatmap, limit, layout), limit, least=LEAST_WIDTH)
    if kind == "tokens":
        said = () if subject.vocabulary is not None else ("ids, no vocabulary given",)
        found = tokens(subject.heatmap, subject.words, width, limit)
        return Body(found.page, found.limit, (*said, *found.lines))
    if kind in ("signal", "table"):
        return _series(*_lines(subject), subject, layout, width, limit)
    if kind == "volume":
        return slices(subject.heatmap, subject.tensor, layout, limit)
    return plane(subject.heatmap, subject.tensor, layout, subject.axes, limit)


def embedded_picture(subject: Subject, layout: str = "triple", longest: int = 720, limit: float | None = None) -> str:
    """Return the picture of a map without title and scale as a data URI, at most ``longest`` pixels a side.

    Raises
    ------
    BadInput
        As of ``draw``.
    """
    picture = body_of(subject, layout, limit=limit).page.image()
    picture.thumbnail((longest, longest))
    return embedded(picture, "jpeg" if kind_of(subject) in ("photo", "volume") else "png")


def _lines(subject: Subject) -> tuple[Array, Array | None]:
    """Return relevance and input of a table [F], or of a signal [C, T]."""
    r, tensor = subject.relevance, subject.tensor
    shape = r.shape if r.ndim < 3 else (len(r), -1)
    return r.reshape(shape), None if tensor is None or tensor.size != r.size else tensor.reshape(shape)


def _series(
    relevance: Array, tensor: Array | None, subject: Subject, layout: str, width: int, limit: float | None
) -> Body:
    if relevance.ndim == 1 or len(relevance) <= MOST_LINES:
        return series(relevance, tensor, subject.columns, width, limit)
    return plane(np.asarray(relevance), tensor, layout, ("channel", "step"), limit)
