"""MaxPool and AveragePool, whatever their padding, overlap, dilation and ceil_mode."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Window, adjoint_convolve, window
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.registry import Parts, linear, moves, rule, vjp

from ..shared.places import add_at
from ..shared.reasons import CANCELLED
from ..shared.z_rule import without_weights, z_rule
from .maxima import can_scatter, scatter, share_out

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
        channels = ctx.sizes(node.inputs[0])[0]
        return [(scatter if can_scatter(ctx, w) else share_out)(ctx, x, r, w, channels)]
    keep = attributes(node, "storage_order")
    _, flat = op.emit_many("MaxPool", x, outputs=2, **keep)
    return [add_at(ctx, r, flat, cast("ir.Value", node.inputs[0]))]


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
