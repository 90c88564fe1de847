"""Pictures of what is no photograph: signals as lines in the colours of their relevance, tables as a bar per entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsp_onnx.errors import BadInput
from rsp_onnx.render.canvas import Bounds, Box, Chart, Draw, Page
from rsp_onnx.render.colours import colour_limit, heatmap_rgb
from rsp_onnx.render.frame import CAPTION, GAP, GREY, WIDTH, Body
from rsp_onnx.render.text import Words, text_width, wrap

MOST_BARS = 40  # entries that have a line each; more of them stand upright beside each other
MOST_LINES = 12  # channels that have a line each; more of them are rows of a picture
_BAR, _FINEST, _LOWEST = 22, 180, 60  # heights in pixels: of a bar, of a line alone, of one among many
_ROOM = 74  # pixels for the numbers beside a chart
_NAMED = 4  # of many entries, the largest are named
_MOST_STROKES = 4000  # of one line in SVG and PDF; finer ones are embedded as a picture


def series(
    relevance: NDArray[Any], tensor: NDArray[Any] | None = None, names: Sequence[str] = (), width: int = WIDTH,
    limit: float | None = None,
) -> Body:  # fmt: skip
    """Draw the relevance of a table's entries, or of a signal over time.

    Parameters
    ----------
    relevance : ndarray, shape [F] or [C, T]
        Of each entry: a bar each, the value beside its name; or of the samples of up to ``MOST_LINES`` channels.
    tensor : ndarray, optional
        The input's own values in the same shape; without them a channel's line is its relevance.
    names : sequence of str
        Of the entries; without them their places.
    width : int
        Pixels.
    limit : float, optional
        Absolute value of the strongest colours; None takes the map's own.

    Returns
    -------
    Body

    Raises
    ------
    BadInput
        The map has other axes, too many channels, or values that are not finite.
    """
    values = np.asarray(relevance, np.float64)
    if values.ndim not in (1, 2) or not values.size or not np.isfinite(values).all():
        raise BadInput(f"A map of the shape {values.shape} cannot be drawn as bars or lines.")
    if values.ndim == 2 and len(values) > MOST_LINES:
        raise BadInput(f"{len(values)} channels are too many for a line each: draw them as a picture.")
    if tensor is not None and tensor.shape != values.shape:
        tensor = None
    if limit is None:
        limit = colour_limit(np.atleast_2d(values), 100.0 if values.ndim == 1 else 99.5)
    if values.ndim == 2:
        page = _traces(values, values if tensor is None else np.asarray(tensor, np.float64), limit, width)
        return Body(page, limit, () if tensor is not None else ("lines: the relevance itself",))
    called = [_name(i, tensor, names) for i in range(values.size)]
    if values.size <= MOST_BARS:
        return Body(_bars(values, called, limit, width), limit)
    return Body(_upright(values, limit, width), limit, (f"the largest: {_largest(values, called)}",))


def _colours(values: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    """Colours of values [n]: never the pale end, which would not be seen on white; [n, 3]."""
    share = np.clip(values / limit, -1, 1)
    return np.asarray(heatmap_rgb((np.sign(share) * 0.25 + 0.75 * share)[None], 1.0)[0])


def _name(index: int, tensor: NDArray[Any] | None, names: Sequence[str]) -> str:
    """Name an entry by its name or place and what the model was given there: ``[3] = 0.25``."""
    name = names[index] if names else f"[{index}]"
    return name if tensor is None else f"{name} = " + f"{tensor[index]:.3g}".replace("-", "−")


def _number(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")


def _largest(values: NDArray[np.float64], names: Sequence[str]) -> str:
    order = np.argsort(-np.abs(values), kind="stable")[:_NAMED]
    return " · ".join(f"{names[i]}: {_number(values[i])}" for i in order if values[i])


def _bars(values: NDArray[np.float64], names: Sequence[str], limit: float, page: int) -> Page:
    """Draw a horizontal bar per entry, from a common zero, its name left and its relevance right of all bars."""
    numbers = [_number(v) for v in values]
    left, right = (max(text_width(t, CAPTION) for t in texts) + GAP for texts in (names, numbers))
    left = min(left, 0.4 * page)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (page - left - right) / ((high - low) or 1.0)
    zero = left - low * scale
    words, boxes = [], []
    for i, (name, number) in enumerate(zip(names, numbers, strict=True)):
        y = (i + 0.5) * _BAR
        words.append(Words(wrap(name, left - GAP, CAPTION)[0], 0, y, CAPTION, colour=GREY))
        words.append(Words(number, page, y, CAPTION, "right", colour=GREY))
    for i, (value, (r, g, b)) in enumerate(zip(values, _colours(values, limit), strict=True)):
        first, last = sorted((round(zero), round(zero + value * scale)))
        boxes.append(Box(first, i * _BAR + 3, max(last - first, 1), _BAR - 6, (int(r), int(g), int(b))))
    boxes.append(Box(round(zero), 0, 1, _BAR * values.size, (120, 120, 120)))
    return Page(page, _BAR * values.size, tuple(words), tuple(boxes))


def _upright(values: NDArray[np.float64], limit: float, page: int) -> Page:
    """Many entries in their order, each an upright line from zero."""

    def draw(figure: Any, bounds: Bounds) -> None:
        (plot,) = _axes(figure, bounds, page, 1, _FINEST)
        width = max(0.6, min(4.0, 0.6 * page / values.size))
        drawn = plot.vlines(np.arange(values.size), 0, values, colors=_colours(values, limit) / 255, linewidth=width)
        drawn.set_rasterized(values.size > _MOST_STROKES)
        plot.axhline(0, color="#787878", linewidth=0.6)
        plot.set_ylabel("relevance", fontsize=11, color=GREY)
        _finish([plot], values.size, page)

    return _page(draw, page, 1, _FINEST)


def _traces(values: NDArray[np.float64], signal: NDArray[np.float64], limit: float, page: int) -> Page:
    """Draw a line per channel through the signal's values, over a band in the colours of their relevance."""
    height = max(_LOWEST, _FINEST // len(values))

    def draw(figure: Any, bounds: Bounds) -> None:
        plots = _axes(figure, bounds, page, len(values), height)
        for number, (plot, r, y) in enumerate(zip(plots, values, signal, strict=True)):
            _trace(plot, r, y, limit)
            plot.set_ylabel(str(number) if len(values) > 1 else "input", fontsize=11, color=GREY)
        _finish(plots, values.shape[1], page)

    return _page(draw, page, len(values), height)


def _trace(plot: Any, r: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> None:
    from matplotlib.collections import LineCollection

    low, high = float(y.min()), float(y.max())
    pad = 0.08 * (high - low) or 1.0
    extent = (-0.5, len(y) - 0.5, low - pad, high + pad)
    plot.imshow(_band(r, limit), extent=extent, aspect="auto", interpolation="nearest")
    if len(y) > 1:
        ends = np.stack([np.arange(len(y)), y], axis=1)
        parts = list(np.stack([ends[:-1], ends[1:]], axis=1))
        lines = LineCollection(parts, colors=_dark(r[:-1], limit), linewidth=1.2)
        lines.set_rasterized(len(parts) > _MOST_STROKES)
        plot.add_collection(lines)
    plot.set_ylim(low - pad, high + pad)


def _band(r: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    """Colours behind a channel's line, half as strong as on it; [1, T, 3]."""
    return heatmap_rgb(np.clip(r / limit, -1, 1)[None] * 0.5, 1.0)


def _dark(r: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Colours of a line [n, 3]: grey where nothing speaks, then the scale's strong half."""
    share = np.clip(r / limit, -1, 1)
    strong = heatmap_rgb((np.sign(share) * 0.5 + 0.5 * share)[None], 1.0)[0] / 255
    weight = np.minimum(np.abs(share) * 4, 1.0)[:, None]
    return np.asarray(0.35 * (1 - weight) + strong * weight)


def _page(draw: Draw, width: int, rows: int, height: int) -> Page:
    tall = rows * height + 30
    return Page(width, tall, charts=(Chart(0, 0, width, tall, draw),))


def _axes(figure: Any, bounds: Bounds, page: int, rows: int, height: int) -> list[Any]:
    """Make a chart per row within the bounds, which are that many pixels wide; left is room for numbers."""
    tall = rows * height + 30
    x, y, width, high = bounds
    grid = figure.add_gridspec(
        rows, 1, left=x + width * _ROOM / page, right=x + width * (1 - 4 / page), top=y + high * (1 - 4 / tall),
        bottom=y + high * 26 / tall, hspace=0.12,
    )  # fmt: skip
    return list(grid.subplots(sharex=True, squeeze=False)[:, 0])


def _finish(plots: Sequence[Any], count: int, page: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for plot in plots:
        plot.set_xlim(-0.5, count - 0.5)
        plot.tick_params(labelsize=10, colors=GREY, length=2)
        plot.locator_params(axis="y", nbins=3)
        plot.xaxis.set_major_locator(MaxNLocator(max(2, page // 90), integer=True))
        for side in plot.spines.values():
            side.set_color("#cdcdcd")
