"""Normalisations: their statistics are constants, so relevance passes unchanged."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.context import Context
from rsp_onnx.errors import BadModel
from rsp_onnx.numerics import add_all, cut, pad
from rsp_onnx.registry import Parts, rule, vjp


@rule("BatchNormalization", "LRN")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged: statistics are constants, an affine map moves nothing (RSP §3)."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("BatchNormalization")
def scale_channels(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale by scale/√(var + ε) per channel, with the stored statistics."""
    if ctx.attr(node, "training_mode", 0) or any(ctx.graph.active(v) for v in node.inputs[1:]):
        raise BadModel(
            f"The BatchNormalization node {node.name!r} takes its statistics from the image (training mode); "
            "export the model in inference mode."
        )
    scale, variance = (ctx.need_constant(node, i).astype(np.float64) for i in (1, 4))
    factor = scale / np.sqrt(variance + cast("float", ctx.attr(node, "epsilon", 1e-5)))
    shape = [1, 1, -1] + [1] * (len(ctx.dims(node.inputs[0])) - 2)
    return [ctx.op.Mul(g, factor.reshape(shape)), None, None, None, None]


@vjp("LRN")
def local_response(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·s^−β − (2αβ/n)·x·Σ_window(g·x·s^(−β−1)), s = k + (α/n)·Σ_window x²; the window runs over channels."""
    op, x = ctx.op, ctx.read(node.inputs[0])
    n = cast("int", ctx.attr(node, "size"))
    alpha, beta = (float(cast("float", ctx.attr(node, k, v))) for k, v in (("alpha", 1e-4), ("beta", 0.75)))
    rank = len(ctx.dims(node.inputs[0]))
    channels = ctx.sizes(node.inputs[0])[0]
    low, high = (n - 1) // 2, n // 2
    squares = _window_sum(ctx, op.Mul(x, x), 1, rank, channels, low, high)
    s = op.Add(op.Mul(squares, alpha / n), float(cast("float", ctx.attr(node, "bias", 1.0))))
    through = op.Mul(g, op.Pow(s, np.array(-beta)))
    around = op.Mul(g, op.Mul(x, op.Pow(s, np.array(-beta - 1.0))))
    back = _window_sum(ctx, around, 2, rank + 1, channels, high, low)  # the adjoint window is mirrored
    return [op.Sub(through, op.Mul(op.Mul(back, x), 2.0 * alpha * beta / n))]


def _window_sum(ctx: Context, v: ir.Value, axis: int, rank: int, channels: int, low: int, high: int) -> ir.Value:
    before, after = ([size if i == axis else 0 for i in range(rank)] for size in (low, high))
    wide = pad(ctx.op, v, before, after)
    return add_all(ctx.op, [cut(ctx.op, wide, axis, k, channels) for k in range(low + high + 1)])
