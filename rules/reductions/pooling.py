"""MaxPool and AveragePool, whatever their padding, overlap, dilation and ceil_mode."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Window, adjoint_convolve, window
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import cut
from rsp_onnx.rulekit.registry import Parts, linear, moves, rule, vjp

from ..shared.places import add_at
from ..shared.reasons import CANCELLED
from ..shared.windows import overlay
from ..shared.z_rule import without_weights, z_rule

_FEW = 3  # entries per axis: from here on ONNX Runtime's indices are cheaper than comparing

op_facts("MaxPool", role=Role.POOL, data=Data.SELECTS, sign=Sign.KEEPS, layout=Layout.CHANNELS_FIRST,
         keeps_totals=True)  # fmt: skip
op_facts("AveragePool", role=Role.POOL, data=Data.COMPUTES, sign=Sign.KEEPS, layout=Layout.CHANNELS_FIRST,
         loses=CANCELLED)  # fmt: skip


@moves("MaxPool")
def winner_takes_all(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """All of r goes to its window's maximum, the first of equal ones; overlaps add up (RSP's z-rule)."""
    op, x, w = ctx.op, ctx.read(node.inputs[0]), _window(ctx, node)
    few = max(w.kernel) <= _FEW and set(w.dilations) == {1}
    if few and all(s - n - b < k for s, n, b, k in zip(w.span, w.size, w.before, w.kernel, strict=True)):
        return [_to_first_maximum(ctx, x, r, w, ctx.sizes(node.inputs[0])[0])]
    keep = attributes(node, "storage_order")
    _, flat = op.emit_many("MaxPool", x, outputs=2, **keep)
    return [add_at(ctx, r, flat, cast("ir.Value", node.inputs[0]))]


def _to_first_maximum(ctx: Context, x: ir.Value, r: ir.Value, w: Window, channels: int) -> ir.Value:
    """Do it axis by axis without indices, channels last: the maximum of the last axes first, back in reverse order.

    r: [K, N, C, *out] → [K, N, C, *size]. A window's relevance goes to its first row that holds its maximum, and in
    that row to the first entry: the order of ONNX Runtime's indices.
    """
    op, n = ctx.op, w.axes
    last = [0, *range(2, 2 + n), 1]
    maps, chosen = x, list[list[ir.Value]]()
    for i in reversed(range(n)):
        largest = op.MaxPool(maps, **_along(w, i))
        behind = math.prod(w.out[i + 1 :]) * channels
        rows, peaks = (op.Transpose(v, perm=last) for v in (maps, largest))
        chosen.insert(0, _hits(op, rows, peaks, w, i, behind))
        maps = largest
    back = op.Transpose(r, perm=[0, 1, *range(3, 3 + n), 2])
    for i, hits in enumerate(chosen):
        behind = math.prod(w.out[i + 1 :]) * channels
        back = op.Reshape(back, op.Concat(ctx.front, [-1, w.out[i], behind], axis=0))
        shares = []
        for hit in hits:
            shares.append(op.Mul(back, hit))
            back = op.Sub(back, shares[-1])
        shares = [op.Reshape(s, [-1, w.out[i], behind]) for s in (*shares, back)]
        length = max(w.span[i], w.before[i] + w.size[i])
        back = overlay(op, shares, w.out[i], behind, w.strides[i], 1, length)
        if w.before[i] or length != w.size[i]:
            back = cut(op, back, 1, w.before[i], w.size[i])
    back = op.Reshape(back, [-1, *w.size, channels])
    return ctx.part(op.Transpose(back, perm=[0, 1 + n, *range(1, 1 + n)]), channels, *w.size)


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


@vjp("AveragePool")
def spread_over_window(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Spread g/n over its window, n as count_include_pad and ceil_mode have it."""
    op, w = ctx.op, _window(ctx, node)
    channels = ctx.sizes(node.inputs[0])[0]
    g = op.Div(g, _divisors(w, node)[None])
    flat = ctx.merge(g, (1, *w.out))
    back = adjoint_convolve(op, flat, np.ones((1, 1, *w.kernel)), w, 1)
    return [ctx.part(back, channels, *w.size)]


@rule("AveragePool")
def share_by_value(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the values in its window (z-rule): X ⊙ vjp(R⊘Z), X + 1e-9 on both sides (RSP §3)."""
    return z_rule(ctx, node, r, spread_over_window)


@linear("AveragePool")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer:
    """Return the mean over windows, a linear layer without weights."""
    return without_weights(ctx, node, spread_over_window)


def _window(ctx: Context, node: ir.Node) -> Window:
    size, out = ctx.sizes(node.inputs[0])[1:], ctx.sizes(node.outputs[0])[1:]
    return window(node, tuple(cast("list[int]", ctx.attr(node, "kernel_shape"))), size, out)


def _divisors(w: Window, node: ir.Node) -> np.ndarray:
    """Return what each output is divided by: [1, 1, *out]."""
    include = bool(node.attributes.get_int("count_include_pad", 0))
    total = np.ones((1, 1))
    for k, s, d, b, a, n, o in zip(w.kernel, w.strides, w.dilations, w.before, w.after, w.size, w.out, strict=True):
        first, last = (-b, n + a) if include else (0, n)
        at = -b + np.arange(o)[:, None] * s + np.arange(k)[None, :] * d
        counts = ((at >= first) & (at < last)).sum(axis=1).astype(float)
        total = total[..., None] * counts
    return total
