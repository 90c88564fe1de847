"""What is drawn of a map: a photograph with its relevance, a signal's lines, a table's bars, or the map alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rsp_onnx.types import Array

from .figure import figure
from .series import MOST_LINES, series_figure


def draw(
    heatmap: Array, relevance: Array, tensor: Array | None, photo: Image.Image | None, *, title: str,
    lines: Sequence[str], label: str,
) -> Image.Image:  # fmt: skip
    """Draw an explanation's map, which has one axis or two.

    Parameters
    ----------
    heatmap : ndarray
        Of the photo's pixels, where there is one.
    relevance, tensor : ndarray
        Of the explained input, channels first, and what the model was given there.
    """
    series, given = (None, None) if photo is not None else _series(heatmap, relevance, tensor)
    if series is not None and (series.ndim == 1 or len(series) <= MOST_LINES):
        return series_figure(series, given, title=title, lines=lines, label=label)
    return figure(photo, heatmap if series is None else series, title=title, lines=lines, label=label)


def _series(heatmap: Array, r: Array, tensor: Array | None) -> tuple[Array | None, Array | None]:
    """Return relevance and input of a table [F] or of a signal [C, T]; neither of what has height and width."""
    if tensor is not None and tensor.ndim == 3 and tensor.shape != r.shape:  # channels last
        tensor = np.asarray(np.moveaxis(tensor, -1, 0))
    if tensor is not None and tensor.shape != r.shape:
        tensor = None
    if heatmap.ndim == 1:
        in_front = r.ndim == 2 and len(r) == heatmap.size != r.shape[1]  # time in front of what was measured
        return (r.T, None if tensor is None else tensor.T) if in_front else (r, tensor)
    if r.ndim == 3 and min(r.shape[1:]) == 1:
        return r.reshape(len(r), -1), None if tensor is None else tensor.reshape(len(r), -1)
    return None, None
