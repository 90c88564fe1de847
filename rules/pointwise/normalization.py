"""Normalisations: their statistics are constants, so relevance passes unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, add_all, cut, pad, safe_divide, unbroadcast
from rsp_onnx.rulekit.registry import Parts, frozen, rule, statistics, vjp

_NORM = {"role": Role.NORMALISATION, "data": Data.COMPUTES}

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
    """Return (g' − mean g' − x̂·mean(g'·x̂))/σ over the normalised axes, g' = g·scale; without the mean for RMS.

    A scale computed from the image gets Σ g·x̂ and such a bias Σ g, over the axes along which they were broadcast.
    """
    axes, epsilon, centred = _rows(ctx, node)
    x, scaled = ctx.read(node.inputs[0]), ctx.op.Mul(g, ctx.read(node.inputs[1]))
    back = normalise_back(ctx, x, scaled, axes, epsilon, centred)
    return [back, *_broadcast_parameters(ctx, node, g, lambda: normalised(ctx, x, axes, epsilon, centred))]


@frozen("LayerNormalization", "RMSNormalization")
def divide_by_deviation(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Return (g' − mean g')/σ over the normalised axes, g' = g·scale, σ a constant; without the mean for RMS."""
    op, (axes, epsilon, centred) = ctx.op, _rows(ctx, node)
    x, scaled = ctx.read(node.inputs[0]), op.Mul(g, ctx.read(node.inputs[1]))
    if centred:
        x = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
        scaled = op.Sub(scaled, op.ReduceMean(scaled, [a + 1 for a in axes], keepdims=1))
    sigma = op.Sqrt(op.Add(op.ReduceMean(op.Mul(x, x), axes, keepdims=1), epsilon))
    return [op.Div(scaled, sigma), *_broadcast_parameters(ctx, node, g, lambda: op.Div(x, sigma))]


def _rows(ctx: Context, node: ir.Node) -> tuple[list[int], float, bool]:
    """Return the normalised axes, ε, and whether a mean is taken off."""
    rank = len(ctx.dims(node.inputs[0]))
    first = cast("int", ctx.attr(node, "axis", -1)) % rank
    epsilon = float(cast("float", ctx.attr(node, "epsilon", 1e-5)))
    return list(range(first, rank)), epsilon, node.op_type == "LayerNormalization"


def _broadcast_parameters(
    ctx: Context, node: ir.Node, g: ir.Value, hat: Callable[[], ir.Value]
) -> list[ir.Value | None]:
    """Return what scale and bias get, where the image computes them: adaptive normalisation."""
    return [
        unbroadcast(ctx, ctx.op.Mul(g, hat()) if slot == 1 else g, node.outputs[0], value)
        if value is not None and ctx.graph.active(value) else None
        for slot, value in enumerate(node.inputs[1:], 1)
    ]  # fmt: skip


@vjp("InstanceNormalization", "GroupNormalization")
def normalise_groups_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Go back through (x − mean)/σ per group of channels; for InstanceNormalization a group is one channel.

    A scale computed from the image gets Σ g·x̂ and such a bias Σ g, summed over samples and positions.
    """
    op, sizes = ctx.op, ctx.sizes(node.inputs[0])
    channels, places = sizes[0], math.prod(sizes[1:])
    groups = channels if node.op_type == "InstanceNormalization" else cast("int", ctx.attr(node, "num_groups"))
    rest, epsilon = channels // groups * places, float(cast("float", ctx.attr(node, "epsilon", 1e-5)))
    x = op.Reshape(ctx.read(node.inputs[0]), [-1, groups, rest])
    scaled = op.Mul(ctx.part(g, channels, places), _per_channel(ctx, node, channels))
    back = normalise_back(ctx, x, ctx.part(scaled, groups, rest), [2], epsilon, True)
    parts: list[ir.Value | None] = [ctx.part(back, *sizes)]
    for slot, value in enumerate(node.inputs[1:], 1):
        part = g if ctx.graph.active(value) else None
        if part is not None and slot == 1:
            part = op.Mul(ctx.part(g, groups, rest), normalised(ctx, x, [2], epsilon, True))
        parts.append(None if part is None else _summed(ctx, part, value, channels, places))
    return parts


def _per_channel(ctx: Context, node: ir.Node, channels: int) -> ir.Value:
    """Return the scale as [channels, 1]; before opset 21 GroupNormalization has one scale per group."""
    scale = ctx.op.Reshape(ctx.read(node.inputs[1]), [-1, 1])
    count = ctx.dims(node.inputs[1])[0] or channels
    return scale if count == channels else ctx.op.Reshape(ctx.op.Expand(scale, [1, channels // count]), [-1, 1])


def _summed(ctx: Context, part: ir.Value, value: ir.Value | None, channels: int, places: int) -> ir.Value:
    """Sum [K, N, ...] over samples and positions, and over the channels of a group where there is one entry for it."""
    count = ctx.dims(value)[0] or channels
    return ctx.op.ReduceSum(ctx.part(part, count, channels // count * places), [1, 3], keepdims=0)


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


def normalised(ctx: Context, x: ir.Value, axes: list[int], epsilon: float, centred: bool) -> ir.Value:
    """Return (x − mean)/√(var + ε) over forward axes; without the mean where it is not ``centred``."""
    x, sigma = _centred_and_deviation(ctx.op, x, axes, epsilon, centred)
    return ctx.op.Div(x, sigma)


def normalise_back(ctx: Context, x: ir.Value, g: ir.Value, axes: list[int], epsilon: float, centred: bool) -> ir.Value:
    """Adjoint of (x − mean)/√(var + ε) over forward axes; g [K, *shape of x]."""
    op, behind = ctx.op, [a + 1 for a in axes]
    x, sigma = _centred_and_deviation(op, x, axes, epsilon, centred)
    hat = op.Div(x, sigma)
    inner = op.Sub(g, op.Mul(hat, op.ReduceMean(op.Mul(g, hat), behind, keepdims=1)))
    if centred:
        inner = op.Sub(inner, op.ReduceMean(g, behind, keepdims=1))
    return op.Div(inner, sigma)


def _centred_and_deviation(
    op: Emitter, x: ir.Value, axes: list[int], epsilon: float, centred: bool
) -> tuple[ir.Value, ir.Value]:
    x = op.Sub(x, op.ReduceMean(x, axes, keepdims=1)) if centred else x
    return x, op.Sqrt(op.Add(op.ReduceMean(op.Mul(x, x), axes, keepdims=1), epsilon))
