"""Pictures of what is no photograph: signals as lines in the colours of their relevance, tables as a bar per entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsp_onnx.errors import BadInput

from .colours import colour_limit, heatmap_rgb
from .frame import CAPTION, GAP, GREY, MARGIN, bar_words, colour_bar, head
from .text import Words, draw_words, text_width, wrap

_WIDTH = 860
MOST_BARS = 40  # entries that have a line each; more of them stand upright beside each other
MOST_LINES = 12  # channels that have a line each; more of them are rows of a picture
_BAR, _FINEST, _LOWEST = 22, 180, 60  # heights in pixels: of a bar, of a line alone, of one among many
_NAMED = 4  # of many entries, the largest are named
_PX = 72  # at 72 dpi a font's points are pixels


def series_figure(
    relevance: NDArray[Any], tensor: NDArray[Any] | None = None, *, title: str, lines: Sequence[str] = (),
    label: str = "the class",
) -> Image.Image:  # fmt: skip
    """Draw the relevance of a table's entries, of token ids, or of a signal over time.

    Parameters
    ----------
    relevance : ndarray, shape [F] or [C, T]
        Of each entry: a bar each, the value beside its name; or of the samples of up to ``MOST_LINES`` channels.
    tensor : ndarray, optional
        The input's own values in the same shape; without them a channel's line is its relevance.
    title, lines, label
        As of ``figure``.

    Returns
    -------
    PIL.Image.Image
        RGB.

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
    limit = colour_limit(np.atleast_2d(values), 100.0 if values.ndim == 1 else 99.5)
    if values.ndim == 2:
        chart, below = _traces(values, values if tensor is None else np.asarray(tensor, np.float64), limit), lines
    elif values.size <= MOST_BARS:
        chart, below = _bars(values, tensor, limit), lines
    else:
        chart, below = _upright(values, limit), [*lines, f"the largest: {_largest(values, tensor)}"]
    return _page(chart, title, below, limit, label)


def _page(chart: Image.Image, title: str, lines: Sequence[str], limit: float, label: str) -> Image.Image:
    words, top = head(title, lines, _WIDTH)
    bottom = top + chart.height + GAP
    below, height = bar_words(_WIDTH, bottom, limit, label)
    page = draw_words(_WIDTH, height, [*words, *below])
    page.paste(chart, ((_WIDTH - chart.width) // 2, top))
    bar, left = colour_bar(_WIDTH)
    page.paste(bar, (left, bottom))
    return page


def _colours(values: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    """Colours of values [n]: never the pale end, which would not be seen on white; [n, 3]."""
    share = np.clip(values / limit, -1, 1)
    return np.asarray(heatmap_rgb((np.sign(share) * 0.25 + 0.75 * share)[None], 1.0)[0])


def _name(index: int, tensor: NDArray[Any] | None) -> str:
    """Name an entry by its place and what the model was given there: ``[3] = 0.25``."""
    return f"[{index}]" if tensor is None else f"[{index}] = {tensor[index]:.3g}"


def _number(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")


def _largest(values: NDArray[np.float64], tensor: NDArray[Any] | None) -> str:
    order = np.argsort(-np.abs(values), kind="stable")[:_NAMED]
    return " · ".join(f"{_name(int(i), tensor)}: {_number(values[i])}" for i in order if values[i])


def _bars(values: NDArray[np.float64], tensor: NDArray[Any] | None, limit: float) -> Image.Image:
    """Draw a horizontal bar per entry, from a common zero, its name left and its relevance right of all bars."""
    names = [_name(i, tensor) for i in range(values.size)]
    numbers = [_number(v) for v in values]
    left, right = (max(text_width(t, CAPTION) for t in texts) + GAP for texts in (names, numbers))
    left = min(left, _WIDTH / 3)
    width = _WIDTH - 2 * MARGIN
    room = width - left - right
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = room / ((high - low) or 1.0)
    zero = left - low * scale
    words = []
    for i, (name, number) in enumerate(zip(names, numbers, strict=True)):
        y = (i + 0.5) * _BAR
        words.append(Words(wrap(name, left - GAP, CAPTION)[0], 0, y, CAPTION, colour=GREY))
        words.append(Words(number, width, y, CAPTION, "right", colour=GREY))
    page = draw_words(width, _BAR * values.size, words)
    for i, (value, colour) in enumerate(zip(values, _colours(values, limit), strict=True)):
        ends = sorted((round(zero), round(zero + value * scale)))
        page.paste(
            tuple(int(c) for c in colour), (ends[0], i * _BAR + 3, max(ends[1], ends[0] + 1), (i + 1) * _BAR - 3)
        )
    page.paste((120, 120, 120), (round(zero), 0, round(zero) + 1, page.height))
    return page


def _upright(values: NDArray[np.float64], limit: float) -> Image.Image:
    """Many entries in their order, each an upright line from zero."""
    page, axes = _axes(1, _FINEST)
    axes[0].vlines(
        np.arange(values.size), 0, values, colors=_colours(values, limit) / 255, linewidth=_thin(values.size)
    )
    axes[0].axhline(0, color="#787878", linewidth=0.6)
    axes[0].set_ylabel("relevance", fontsize=11, color=GREY)
    return _drawn(page, axes, values.size)


def _traces(values: NDArray[np.float64], signal: NDArray[np.float64], limit: float) -> Image.Image:
    """Draw a line per channel through the signal's values, over a band in the colours of their relevance."""
    from matplotlib.collections import LineCollection

    page, axes = _axes(len(values), max(_LOWEST, _FINEST // len(values)))
    for number, (plot, r, y) in enumerate(zip(axes, values, signal, strict=True)):
        x = np.arange(len(y))
        low, high = float(y.min()), float(y.max())
        pad = 0.08 * (high - low) or 1.0
        plot.imshow(
            _band(r, limit), extent=(-0.5, len(y) - 0.5, low - pad, high + pad), aspect="auto", interpolation="nearest"
        )
        if len(y) > 1:
            ends = np.stack([x, y], axis=1)
            parts = list(np.stack([ends[:-1], ends[1:]], axis=1))
            plot.add_collection(LineCollection(parts, colors=_dark(r[:-1], limit), linewidth=1.2))
        plot.set_ylim(low - pad, high + pad)
        plot.set_ylabel(str(number) if len(values) > 1 else "input", fontsize=11, color=GREY)
    return _drawn(page, axes, values.shape[1])


def _band(r: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    """Colours behind a channel's line, half as strong as on it; [1, T, 3]."""
    return heatmap_rgb(np.clip(r / limit, -1, 1)[None] * 0.5, 1.0)


def _dark(r: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Colours of a line [n, 3]: grey where nothing speaks, then the scale's strong half."""
    share = np.clip(r / limit, -1, 1)
    strong = heatmap_rgb((np.sign(share) * 0.5 + 0.5 * share)[None], 1.0)[0] / 255
    weight = np.minimum(np.abs(share) * 4, 1.0)[:, None]
    return np.asarray(0.35 * (1 - weight) + strong * weight)


def _thin(count: int) -> float:
    return max(0.6, min(4.0, 0.6 * (_WIDTH - 2 * MARGIN) / count))


def _axes(rows: int, height: int) -> tuple[Any, list[Any]]:
    """Make a page with a chart per row; never pyplot, which is not safe between threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tall = rows * height + 30
    page = Figure(figsize=((_WIDTH - 2 * MARGIN + 0.5) / _PX, (tall + 0.5) / _PX), dpi=_PX, facecolor="white")
    FigureCanvasAgg(page)
    axes = page.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    page.subplots_adjust(left=0.09, right=0.995, top=1 - 4 / tall, bottom=26 / tall, hspace=0.12)
    return page, list(axes)


def _drawn(page: Any, axes: Sequence[Any], count: int) -> Image.Image:
    for plot in axes:
        plot.set_xlim(-0.5, count - 0.5)
        plot.tick_params(labelsize=10, colors=GREY, length=2)
        plot.locator_params(axis="y", nbins=3)
        for side in plot.spines.values():
            side.set_color("#cdcdcd")
    page.canvas.draw()
    return Image.fromarray(np.ascontiguousarray(np.asarray(page.canvas.buffer_rgba())[:, :, :3]))
