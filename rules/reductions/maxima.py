"""The maxima of windows, found by comparing axis by axis; ONNX Runtime's own indices take three times as long.

Channels stand last, and the last axis comes first. Of equal entries the first wins, in the order of ONNX Runtime's
indices: a window's first row that holds its maximum, and the first entry of that row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Window
from rsp_onnx.rulekit.numerics import cut, pad

from ..shared.windows import overlay

_EXACT = 2**24  # whole numbers that float32 holds


@dataclass(frozen=True)
class _Axis:
    """What the windows are along one axis.

    Attributes
    ----------
    behind : int
        Entries behind the axis, channels included, once the axes behind it are done.
    hits : sequence of onnx_ir.Value
        1 where an entry of the window is its maximum, [.., out, behind], for each entry but the last.
    """

    index: int
    behind: int
    hits: Sequence[ir.Value]


def can_scatter(ctx: Context, w: Window) -> bool:
    """Tell whether ``scatter`` applies: one class and sample, in this process, on the processor.

    A file that is written shares out: in other runtimes scattering is slow, or adds in any order.
    """
    overlaps = any(k > s for k, s in zip(w.kernel, w.strides, strict=True))
    return ctx.alone and ctx.options.in_process and overlaps and math.prod(w.size) < _EXACT


def scatter(ctx: Context, x: ir.Value, r: ir.Value, w: Window, channels: int) -> ir.Value:
    """Add r [1, 1, C, *out] to where the maxima are: [1, 1, C, *size]. Where they are does not depend on r."""
    op, places, size = ctx.op, math.prod(w.out), math.prod(w.size)
    at: ir.Value | None = None
    for axis in _axes(op, x, w, channels):
        at = _place(op, at, w, axis)
    starts = np.arange(w.out[-1]) * w.strides[-1] - w.before[-1]
    at = op.Add(op.Reshape(at, [-1, w.out[-1], channels]), starts[:, None].astype(float))
    at = op.Transpose(op.Reshape(at, [places, channels]), perm=[1, 0])
    at = op.Cast(op.Clip(at, 0.0, float(size - 1)), to=int(ir.DataType.INT32))  # a window of NaN has no maximum
    zeros, rows = op.Expand(0.0, [channels, size]), op.Reshape(r, [channels, places])
    return ctx.part(op.ScatterElements(zeros, at, rows, axis=1, reduction="add"), channels, *w.size)


def share_out(ctx: Context, x: ir.Value, r: ir.Value, w: Window, channels: int) -> ir.Value:
    """Give r [K, N, C, *out] to the maxima, entry by entry of the windows, the rest to the last: [K, N, C, *size]."""
    op, n = ctx.op, w.axes
    back = op.Transpose(r, perm=[0, 1, *range(3, 3 + n), 2])
    for axis in reversed(list(_axes(op, x, w, channels))):
        i, behind = axis.index, axis.behind
        back = op.Reshape(back, op.Concat(ctx.front, [-1, w.out[i], behind], axis=0))
        shares = []
        for hit in axis.hits:
            shares.append(op.Mul(back, hit))
            back = op.Sub(back, shares[-1])
        shares = [op.Reshape(s, [-1, w.out[i], behind]) for s in (*shares, back)]
        length = max(w.span[i], w.before[i] + w.size[i])
        back = overlay(op, shares, w.out[i], behind, w.strides[i], 1, length)
        if w.before[i] or length != w.size[i]:
            back = cut(op, back, 1, w.before[i], w.size[i])
    back = op.Reshape(back, [-1, *w.size, channels])
    return ctx.part(op.Transpose(back, perm=[0, 1 + n, *range(1, 1 + n)]), channels, *w.size)


def _axes(op: Emitter, x: ir.Value, w: Window, channels: int) -> Iterator[_Axis]:
    """Yield the axes, the last first, each behind the maxima of those before."""
    maps, last = x, [0, *range(2, 2 + w.axes), 1]
    for i in reversed(range(w.axes)):
        largest = op.MaxPool(maps, **_along(w, i))
        behind = math.prod(w.out[i + 1 :]) * channels
        rows, peaks = (op.Transpose(v, perm=last) for v in (maps, largest))
        yield _Axis(i, behind, _hits(op, rows, peaks, w, i, behind))
        maps = largest


def _place(op: Emitter, at: ir.Value | None, w: Window, axis: _Axis) -> ir.Value:
    """Return which entry of its window the maximum is [.., out, behind], in entries of the map.

    Along the last axis it is counted from where the window starts, along the others from where the map does.
    """
    i, last = axis.index, w.kernel[axis.index] - 1
    if at is None:
        found: list[ir.Value | float] = [float(k) for k in range(last + 1)]
    else:
        size, stride = w.size[i], w.strides[i]
        starts = (np.arange(size) * math.prod(w.size[i + 1 :]))[:, None].astype(float)
        rows = op.Add(op.Reshape(at, [-1, size, axis.behind]), starts)
        ends = max((w.out[i] - 1) * stride + last + 1 - w.before[i] - size, 0)
        rows = pad(op, rows, [0, w.before[i], 0], [0, ends, 0])
        found = [cut(op, rows, 1, k, w.out[i], stride) for k in range(last + 1)]
    best: ir.Value | float = found.pop()
    for hit, entry in zip(reversed(axis.hits), reversed(found), strict=True):
        best = op.Sub(best, op.Mul(hit, op.Sub(best, entry)))
    if isinstance(best, ir.Value):
        return best
    return op.Expand(best, [math.prod(w.size[:i]), w.out[i], axis.behind])  # windows of one entry


def _along(w: Window, axis: int) -> dict[str, list[int]]:
    """Return a MaxPool's attributes for the windows of one axis alone."""
    ones, end = [1] * w.axes, w.span[axis] - w.size[axis] - w.before[axis]
    pads = [0] * 2 * w.axes
    pads[axis], pads[w.axes + axis] = w.before[axis], max(end, 0)
    kernel, strides = ([*ones[:axis], sizes[axis], *ones[axis + 1 :]] for sizes in (w.kernel, w.strides))
    return {"kernel_shape": kernel, "strides": strides, "pads": pads}


def _hits(op: Emitter, rows: ir.Value, peaks: ir.Value, w: Window, axis: int, behind: int) -> list[ir.Value]:
    """Return 1 where an entry of the window is its maximum, [N·, out, behind] for each but the last; channels last."""
    size, out, stride, kernel = w.size[axis], w.out[axis], w.strides[axis], w.kernel[axis]
    rows, peaks = op.Reshape(rows, [-1, size, behind]), op.Reshape(peaks, [-1, out, behind])
    length = max(w.span[axis], out * stride, w.before[axis] + size)
    if w.before[axis] or length != size:
        rows = op.Pad(rows, [0, w.before[axis], 0, 0, length - w.before[axis] - size, 0], np.array(-np.inf))
    first = rows if length == out * stride else cut(op, rows, 1, 0, out * stride)
    own = op.GreaterOrEqual(op.Reshape(first, [-1, out, stride, behind]), op.Reshape(peaks, [-1, out, 1, behind]))
    hits = [own]
    if stride > 1:  # the entries of a window that no other one begins before, in one comparison
        hits = list(op.emit_many("Split", own, outputs=stride, axis=2, num_outputs=stride))
    hits = [op.Reshape(hit, [-1, out, behind]) for hit in hits[: kernel - 1]]
    for k in range(stride, kernel - 1):
        hits.append(op.GreaterOrEqual(cut(op, rows, 1, k, out, stride), peaks))
    return [op.Cast(hit, to=int(op.type)) for hit in hits]
