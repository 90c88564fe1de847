"""Scores of any shape as one score per sample and class: of masks, boxes and sequences those of a region.

The region is written in standard ops behind the scores, so that every method explains it like any other output. For
masks it follows Seg-Grad-CAM (Vinogradova et al. 2020): the mean score over the positions of interest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.shapes import Dims

from .axes import ScoreAxes

POOLED = f"{PREFIX}/scores"


@dataclass(frozen=True)
class Region:
    """Which positions of the scores count.

    Attributes
    ----------
    kind : str
        ``mask``: where the class wins, all positions for a class that wins nowhere; ``peak``: the position with the
        class's highest score; ``all``: the mean; ``box``: the mean over a part.
    box : tuple of int
        First column, first row, last column, last row (first and last index on one axis), counted from 0, inclusive.
    """

    kind: str
    box: tuple[int, ...] = ()


def parse_region(word: str, axes: int) -> Region:
    """Read ``mask``, ``peak``, ``all``, an index or X0,Y0,X1,Y1; axes: how many axes hold positions.

    Raises
    ------
    BadInput
        Anything else.
    """
    if word in ("mask", "peak", "all"):
        return Region(word)
    numbers = [int(w) for w in word.split(",") if w.strip().isdecimal()]
    if len(numbers) != len(word.split(",")) or len(numbers) not in (1, 2 * axes) or (len(numbers) == 1 and axes > 1):
        wanted = "an index, or FIRST,LAST" if axes == 1 else "X0,Y0,X1,Y1"
        raise BadInput(f"The region {word!r} is none: for these scores say auto, mask, peak, all, or {wanted}.")
    box = tuple(numbers) if len(numbers) > 1 else (numbers[0], numbers[0])
    if any(a > b for a, b in zip(box[:axes], box[axes:], strict=True)):
        raise BadInput(f"The region {word!r} is empty: its first position must not lie behind its last.")
    return Region("box", box)


def resolved(word: str, axes: ScoreAxes, sizes: Dims, boxes: bool) -> str:
    """Return which positions count; empty for scores without positions.

    Where nobody said, those where the class wins in pictures and sequences, the best of boxes. boxes: the one axis of
    positions is known to count boxes.

    Raises
    ------
    BadInput
        A region of scores that have no positions.
    """
    long = long_places(axes, sizes)
    if not long:
        if word != "auto":
            raise BadInput("The scores are one per class; a region is for models with masks, boxes or time steps.")
        return ""
    if word != "auto":
        return word
    return "mask" if len(long) > 1 or (axes.is_sequence and not boxes) else "peak"


def long_places(axes: ScoreAxes, sizes: Dims) -> list[int]:
    """Return the axes of positions that hold more than one."""
    return [a for a in axes.places if sizes[a] != 1]


def to_scores(op: Emitter, y: ir.Value, sizes: Dims, axes: ScoreAxes, region: str) -> ir.Value:
    """Write, behind scores of any shape, one score per sample and class [N, classes]; return it.

    Parameters
    ----------
    y : onnx_ir.Value
        Floating point, of these sizes and axes.

    Raises
    ------
    BadInput
        The region does not fit the scores.
    """
    long = long_places(axes, sizes)
    y = _in_order(op, y, axes, [a for a in axes.places if a not in long], long)
    if axes.rows is not None:
        y = op.Slice(y, [axes.rows[0]], [axes.rows[1]], [1])
    if not long:
        return y
    counts = [d for d in (sizes[a] for a in long) if d is not None]
    return _pooled(
        op, y, parse_region(region, len(long)), counts, axes.count(sizes) or 1, list(range(2, 2 + len(long)))
    )


def _in_order(op: Emitter, y: ir.Value, axes: ScoreAxes, ones: list[int], long: list[int]) -> ir.Value:
    """Return [N, classes, *positions]; axes of one position go, missing axes of samples and classes come."""
    lead = [a for a in (axes.sample, axes.classes) if a is not None]
    order = [*lead, *long, *ones]
    if order != sorted(order):
        y = op.Transpose(y, perm=order)
    if ones:
        y = op.Squeeze(y, list(range(len(order) - len(ones), len(order))))
    missing = [i for i, a in enumerate((axes.sample, axes.classes)) if a is None]
    return op.Unsqueeze(y, missing) if missing else y


def _pooled(op: Emitter, y: ir.Value, region: Region, counts: list[int], classes: int, axes: list[int]) -> ir.Value:
    if region.kind == "peak":
        return op.ReduceMax(y, axes, keepdims=0)
    if region.kind == "box":
        y = _cut(op, y, region, counts)
    mean = op.ReduceMean(y, axes, keepdims=0)
    if region.kind != "mask":
        return mean
    winner = op.ArgMax(y, axis=1, keepdims=1)
    ids = np.arange(classes).reshape(1, classes, *[1] * len(axes))
    wins = op.Cast(op.Equal(winner, ids), to=int(op.type))
    count = op.ReduceSum(wins, axes, keepdims=0)
    inside = op.Div(op.ReduceSum(op.Mul(y, wins), axes, keepdims=0), op.Max(count, 1.0))
    return op.Where(op.Greater(count, 0.0), inside, mean)


def _cut(op: Emitter, y: ir.Value, region: Region, counts: list[int]) -> ir.Value:
    """Take the box's positions: its numbers are columns first, the tensor's axes rows first."""
    n = len(counts)
    first, last = region.box[:n][::-1], region.box[n:][::-1]
    for end, size in zip(last, counts, strict=True):
        if end >= size:
            shape = " × ".join(map(str, counts[::-1]))
            raise BadInput(
                f"The region {','.join(map(str, region.box))} lies outside of the scores' {shape} positions."
            )
    return op.Slice(y, list(first), [e + 1 for e in last], list(range(2, 2 + n)))
