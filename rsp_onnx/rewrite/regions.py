"""Models that score every position (masks) or box: a region turns their map of scores into one score per class.

The region is written in standard ops behind the scores, so that every method explains it like any other output. For
masks it follows Seg-Grad-CAM (Vinogradova et al. 2020): the mean score over the positions of interest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.shapes import Dims

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
    """Read ``auto``, ``mask``, ``peak``, ``all``, an index or X0,Y0,X1,Y1; axes: how many axes hold positions.

    Raises
    ------
    BadInput
        Anything else.
    """
    if word == "auto":
        return Region("mask" if axes > 1 else "peak")
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


def class_axis(sizes: Dims) -> int:
    """Return the axis of the classes: the second, unless the last is shorter (channels last, boxes × classes)."""
    second, last = sizes[1], sizes[-1]
    return len(sizes) - 1 if second is not None and last is not None and last < second else 1


def scores_positions(sizes: Dims) -> bool:
    """Tell whether scores of this shape are a map: more than [N, classes] with ones behind."""
    return len(sizes) > 2 and any(d != 1 for d in sizes[2:])


def pool(model: ir.Model, logits: ir.Value, word: str) -> ir.Value:
    """Write, behind a map of scores, one score per class of a region [N, classes]; return it.

    Raises
    ------
    BadInput, BadModel
        The region does not fit the scores, or their sizes are not known.
    """
    sizes = tuple(d if isinstance(d, int) else None for d in logits.shape or ())
    if any(d is None for d in sizes[1:]):
        raise BadModel(f"The scores {logits.name!r} leave their size {sizes[1:]} free; give it with input_shapes.")
    axis = class_axis(sizes)
    places = [a for a in range(1, len(sizes)) if a != axis]
    region = parse_region(word, len(places))
    dtype = logits.dtype if logits.dtype is not None and logits.dtype.is_floating_point() else ir.DataType.FLOAT
    op = Emitter(model.graph, dtype.numpy())
    y = op.Transpose(logits, perm=[0, axis, *places]) if axis != 1 else logits
    counts = [d for d in (sizes[a] for a in places) if d is not None]
    axes = list(range(2, len(sizes)))
    pooled = _pooled(op, y, region, counts, sizes[axis] or 1, axes)
    pooled.name = POOLED
    return pooled


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
