"""Normalisations: their statistics are constants, so relevance passes unchanged."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.affine import batch_norm
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, add_all, cut, pad, safe_divide
from rsp_onnx.rulekit.registry import Parts, frozen, rule, statistics, vjp

_NORM = {"role": Role.NORMALISATION, "data": Data.COMPUTES}

op_facts("BatchNormalization", **_NORM, sign=Sign.ANY, layout=Layout.CHANNELS_FIRST, affine=True)
op_facts("LRN", **_NORM, sign=Sign.KEEPS_NONNEGATIVE, layout=Layout.CHANNELS_FIRST)
op_facts("InstanceNormalization", "GroupNormalization", **_NORM, sign=Sign.ANY, layout=Layout.CHANNELS_FIRST)
op_facts("LayerNormalization", "RMSNormalization", **_NORM, sign=Sign.ANY, layout=Layout.CHANNELS_LAST)
op_facts("LpNormalization", **_NORM, sign=Sign.KEEPS_NONNEGATIVE, deviation=True)
op_facts("MeanVarianceNormalization", **_NORM, sign=Sign.ANY)

statistics("LayerNormalization", 1, 2, reason="mean and deviation are statistics")


@rule("BatchNormalization", "LRN")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged: statistics are constants, an affine map moves nothing (RSP §3)."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("BatchNormalization")
def scale_channels(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale by scale/√(var + ε) per channel, with the stored statistics."""
    stored = None if ctx.attr(node, "training_mode", 0) else batch_norm(ctx, node)
    if stored is None:
        raise BadModel(
            f"The BatchNormalization node {node.name!r} takes its statistics from the image (training mode); "
            "export the model in inference mode."
        )
    return [ctx.op.Mul(g, stored[0]), None, None, None, None]


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


@rule(
    "LayerNormalization", "RMSNormalization", "GroupNormalization", "InstanceNormalization", "LpNormalization",
    "MeanVarianceNormalization",
)  # fmt: skip
def pass_normalised(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged: the statistics of a sample are taken as constants (RSP §3, beyond the paper)."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("LayerNormalization", "RMSNormalization")
def normalise_rows_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Return (g' − mean g' − x̂·mean(g'·x̂))/σ over the normalised axes, g' = g·scale; without the mean for RMS."""
    rank = len(ctx.dims(node.inputs[0]))
    first = cast("int", ctx.attr(node, "axis", -1)) % rank
    axes = list(range(first, rank))
    epsilon = float(cast("float", ctx.attr(node, "epsilon", 1e-5)))
    scaled = ctx.op.Mul(g, ctx.read(_constant_scale(ctx, node)))
    centred = node.op_type == "LayerNormalization"
    back = _normalise_back(ctx, ctx.read(node.inputs[0]), scaled, axes, epsilon, centred)
    return [back] + [None] * (len(node.inputs) - 1)


@frozen("LayerNormalization", "RMSNormalization")
def divide_by_deviation(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Return (g' − mean g')/σ over the normalised axes, g' = g·scale, σ a constant; without the mean for RMS."""
    op, rank = ctx.op, len(ctx.dims(node.inputs[0]))
    axes = list(range(cast("int", ctx.attr(node, "axis", -1)) % rank, rank))
    x, scaled = ctx.read(node.inputs[0]), op.Mul(g, ctx.read(_constant_scale(ctx, node)))
    if node.op_type == "LayerNormalization":
        x = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
        scaled = op.Sub(scaled, op.ReduceMean(scaled, [a + 1 for a in axes], keepdims=1))
    epsilon = float(cast("float", ctx.attr(node, "epsilon", 1e-5)))
    sigma = op.Sqrt(op.Add(op.ReduceMean(op.Mul(x, x), axes, keepdims=1), epsilon))
    return [op.Div(scaled, sigma)] + [None] * (len(node.inputs) - 1)


@vjp("InstanceNormalization", "GroupNormalization")
def normalise_groups_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Go back through (x − mean)/σ per group of channels; for InstanceNormalization a group is one channel."""
    op, sizes = ctx.op, ctx.sizes(node.inputs[0])
    channels, places = sizes[0], math.prod(sizes[1:])
    groups = channels if node.op_type == "InstanceNormalization" else cast("int", ctx.attr(node, "num_groups"))
    scale = ctx.need_constant(node, 1).astype(np.float64).reshape(-1)
    if scale.size != channels:  # before opset 21 GroupNormalization has one scale per group
        scale = np.repeat(scale, channels // scale.size)
    scaled = op.Mul(g, scale.reshape(1, 1, channels, *[1] * (len(sizes) - 1)))
    rest = channels // groups * places
    x = op.Reshape(ctx.read(node.inputs[0]), [-1, groups, rest])
    epsilon = float(cast("float", ctx.attr(node, "epsilon", 1e-5)))
    back = _normalise_back(ctx, x, ctx.part(scaled, groups, rest), [2], epsilon, True)
    return [ctx.part(back, *sizes)] + [None] * (len(node.inputs) - 1)


@vjp("MeanVarianceNormalization")
def normalise_axes_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """(g − mean g − x̂·mean(g·y))/(σ + 1e-9), x̂ = (x − mean)/σ, over axes that belong to one sample."""
    rank = len(ctx.dims(node.inputs[0]))
    axes = [int(a) % rank for a in cast("list[int]", ctx.attr(node, "axes", [0, 2, 3]))]
    if 0 in axes and ctx.dims(node.inputs[0])[0] is None:
        raise BadModel(
            f"The MeanVarianceNormalization node {node.name!r} takes its statistics over the batch; "
            "fix the batch size when exporting."
        )
    op, x, behind = ctx.op, ctx.read(node.inputs[0]), [a + 1 for a in axes]
    x = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    sigma = op.Sqrt(op.ReduceMean(op.Mul(x, x), axes, keepdims=1))
    along = op.ReduceMean(op.Mul(g, ctx.read(node.outputs[0])), behind, keepdims=1)
    inner = op.Sub(g, op.Mul(safe_divide(op, x, sigma, nonnegative=True), along))
    return [op.Div(op.Sub(inner, op.ReduceMean(g, behind, keepdims=1)), op.Add(sigma, EPSILON))]


@vjp("LpNormalization")
def divide_by_norm_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """(g − ∂‖x‖·Σ g·y)/‖x‖ along the axis; 0 where the norm is 0."""
    op, x = ctx.op, ctx.read(node.inputs[0])
    axis = cast("int", ctx.attr(node, "axis", -1)) % len(ctx.dims(node.inputs[0]))
    if ctx.attr(node, "p", 2) == 1:
        return [through_norm(op, g, x, op.ReduceL1(x, [axis], keepdims=1), op.Sign(x), axis)]
    norm = op.ReduceL2(x, [axis], keepdims=1)
    return [through_norm(op, g, x, norm, safe_divide(op, x, norm, nonnegative=True), axis)]


def through_norm(op: Emitter, g: ir.Value, x: ir.Value, norm: ir.Value, slope: ir.Value, axis: int) -> ir.Value:
    """Adjoint of y = x/‖x‖ along a forward axis, with the norm and its derivative; 0 where the norm is 0."""
    along = op.ReduceSum(op.Mul(g, safe_divide(op, x, norm)), [axis + 1], keepdims=1)
    return safe_divide(op, op.Sub(g, op.Mul(along, slope)), norm)


def _constant_scale(ctx: Context, node: ir.Node) -> ir.Value:
    scale = node.inputs[1]
    if scale is None or ctx.graph.active(scale):
        raise BadModel(f"The scale of the {node.op_type} node {node.name!r} depends on the image; not supported.")
    return scale


def _normalise_back(ctx: Context, x: ir.Value, g: ir.Value, axes: list[int], epsilon: float, centred: bool) -> ir.Value:
    """Adjoint of (x − mean)/√(var + ε) over forward axes; g [K, *shape of x]."""
    op, behind = ctx.op, [a + 1 for a in axes]
    if centred:
        x = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    sigma = op.Sqrt(op.Add(op.ReduceMean(op.Mul(x, x), axes, keepdims=1), epsilon))
    hat = op.Div(x, sigma)
    inner = op.Sub(g, op.Mul(hat, op.ReduceMean(op.Mul(g, hat), behind, keepdims=1)))
    if centred:
        inner = op.Sub(inner, op.ReduceMean(g, behind, keepdims=1))
    return op.Div(inner, sigma)
