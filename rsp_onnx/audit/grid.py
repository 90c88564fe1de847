"""One map made small: where on the photo its positive relevance sits, and what it sits on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from rsp_onnx.checks.subject.similarity import coarse
from rsp_onnx.types import Array

CORNERS = ("upper left", "upper right", "lower left", "lower right")
_LOOKED_AT = 192  # pixels of the longer side of a photo whose strokes are counted
_CONTRAST = 0.25  # of all brightness: a step in brightness within two pixels that counts as a stroke's edge
_FINE = 6  # pixels at most from one edge to the next: letters have narrow strokes, objects do not
_MOSTLY = 0.5  # of the positive relevance: what the region it sits in holds


def grid_of(heatmap: Array, cells: int) -> Array | None:
    """Return the positive part of a map on cells × cells areas, float32, sum 1; None where nothing is positive.

    Areas are shares of the photo's sides, so that photographs of all shapes can be laid on each other.
    """
    small = coarse(np.maximum(np.asarray(heatmap, np.float64), 0), cells)
    if small.shape != (cells, cells):  # a map of fewer pixels than cells
        small = np.asarray(Image.fromarray(small.astype(np.float32)).resize((cells, cells), Image.Resampling.BILINEAR))
    total = float(small.sum())
    return (small / total).astype(np.float32) if total > 0 else None


def regions(cells: int) -> dict[str, Array]:
    """Return the parts of the photo that have names, bool [cells, cells] each.

    A corner is a quarter of both sides, the border an eighth of them on each, the centre half of both sides.
    """
    row, column = np.mgrid[:cells, :cells]
    quarter, eighth = cells // 4, max(1, cells // 8)
    sides = {"upper": row < quarter, "lower": row >= cells - quarter}
    ends = {"left": column < quarter, "right": column >= cells - quarter}
    corners = {name: sides[name.split()[0]] & ends[name.split()[1]] for name in CORNERS}
    near = np.minimum(np.minimum(row, column), cells - 1 - np.maximum(row, column))
    return {**corners, "border": near < eighth, "centre": near >= quarter}


def shares(grid: Array) -> dict[str, float]:
    """Return which share of a grid (sum 1) lies in each named part."""
    return {name: float(grid[part].sum()) for name, part in regions(len(grid)).items()}


def seat(parts: Mapping[str, float]) -> str:
    """Return where most of it sits: a corner, ``border``, ``centre``, or ``spread``."""
    corner = max(CORNERS, key=lambda name: parts[name])
    if parts[corner] >= 0.4:  # of 6 % of the area
        return f"{corner} corner"
    if parts["border"] >= 0.7:  # of 44 % of the area
        return "border"
    return "centre" if parts["centre"] >= 0.5 else "spread"  # of 25 % of the area


def hottest(grid: Array, share: float = _MOSTLY) -> Array:
    """Return the fewest cells that hold that share of a grid, bool of its shape."""
    order = np.argsort(-grid.ravel(), kind="stable")
    enough = int(np.searchsorted(np.cumsum(grid.ravel()[order]), share * grid.sum())) + 1
    chosen = np.zeros(grid.size, bool)
    chosen[order[:enough]] = True
    return np.asarray(chosen.reshape(grid.shape))


def looks_like_text(photo: Image.Image, grid: Array) -> float:
    """Return how text-like the photo is where the relevance sits: 0 not at all, 1 every row is full of strokes.

    Counted are steep edges along the rows that follow each other within a few pixels with the opposite sign, as on both
    sides of a letter's stroke: per row of the region, as a share of the strokes that would fit.
    """
    small = photo.convert("L")
    small.thumbnail((_LOOKED_AT, _LOOKED_AT), Image.Resampling.LANCZOS)
    light = np.asarray(small, np.float64) / 255
    region = _fitted(hottest(grid), light.shape)
    if region.sum() < 4 or light.shape[1] < 4:
        return 0.0
    strokes = _strokes(light) & region
    return float(min(1.0, strokes.sum() * _FINE / region.sum()))


def _fitted(cells: Array, shape: tuple[int, ...]) -> Array:
    """Return a grid's cells on the pixels of a photo, bool of that shape."""
    row = np.arange(shape[0]) * cells.shape[0] // shape[0]
    column = np.arange(shape[1]) * cells.shape[1] // shape[1]
    return np.asarray(cells[np.ix_(row, column)])


def _strokes(light: Array) -> Array:
    """Return where a narrow stroke ends: a steep edge with one of the other sign shortly before it; bool [H, W]."""
    step = np.zeros_like(light)
    step[:, 1:-1] = light[:, 2:] - light[:, :-2]
    edge = np.where(np.abs(step) >= _CONTRAST, np.sign(step), 0.0)
    starts = np.where(edge != np.roll(edge, 1, axis=1), edge, 0.0)  # an edge counts once, where it begins
    before = np.zeros(light.shape, bool)
    for back in range(2, _FINE + 1):
        before[:, back:] |= (starts[:, :-back] * starts[:, back:]) < 0
    return before
