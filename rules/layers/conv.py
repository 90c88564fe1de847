"""Convolutions of any rank, stride, dilation, padding and group."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.affine import (
    affine_behind,
    constant_bias,
    folded_bias,
    per_channel,
    scaled_weight,
    size_and_output,
)
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Convolution, adjoint_convolve, convolution, convolve
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import per_sample, uniform_shift
from rsp_onnx.rulekit.registry import Parts, linear, reports, rule, vjp

from ..forms.choose import layer_of_convolution, report
from ..forms.choose import propagate as propagate_by_form
from ..forms.unfold import unfold
from ..shared.image import image_source, z_bounded
from ..shared.purge import nonnegative, purge
from ..shared.reasons import UNSEEN

op_facts("Conv", role=Role.LAYER, data=Data.COMPUTES, sign=Sign.ANY, layout=Layout.CHANNELS_FIRST, weight=1,
         products=lambda node, sizes, out: math.prod(out) * math.prod(sizes[1][1:]), loses=UNSEEN)  # fmt: skip


@vjp("Conv")
def convolve_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Convᵀ(g, W); a W computed from the image gets g times what it was multiplied by. g: [K, N, O, *out].

    Such a W belongs to one image, so the batch is fixed to 1; a bias computed from it gets Σ g over positions.
    """
    c = convolution(ctx, node)
    parts: list[ir.Value | None] = [None] * len(node.inputs)
    if ctx.graph.active(node.inputs[0]):
        flat = ctx.merge(g, (c.filters, *c.window.out))
        back = adjoint_convolve(ctx.op, flat, ctx.read(node.inputs[1]), c.window, c.group, c.channels)
        parts[0] = ctx.part(back, c.channels, *c.window.size)
    if ctx.graph.active(node.inputs[1]):
        parts[1] = _to_weight(ctx, node, g, c)
    if len(parts) > 2 and ctx.graph.active(node.inputs[2]):
        parts[2] = ctx.op.ReduceSum(g, [1, *range(3, 3 + c.window.axes)], keepdims=0)
    return parts


def _to_weight(ctx: Context, node: ir.Node, g: ir.Value, c: Convolution) -> ir.Value:
    """Σ over positions of g times what every filter read there: [K, 1, O, *out] → [K, O, C/group, *kernel]."""
    op, weight = ctx.op, cast("ir.Value", node.inputs[1])
    fields = op.Transpose(unfold(op, ctx.read(node.inputs[0]), c), perm=[0, 1, 3, 2])
    rows = ctx.part(g, c.group, c.filters // c.group, math.prod(c.window.out))
    return ctx.like(op.MatMul(rows, fields), weight)


@rule("Conv")
def propagate(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Weight by activations and relevance; doubled and shifted for k > 1; z^B on the image (RSP §3).

    r: [K, N, O, *out] → [K, N, C, *size]. The bias takes nothing; the layer's weights count on the image alone, and
    weights computed from the image take nothing either, as a gate does.
    """
    c = convolution(ctx, node)
    if not ctx.graph.active(node.inputs[0]):
        raise BadModel(f"The Conv node {node.name!r} reads a constant, with weights computed from the image alone.")
    source = cast("ir.Value", node.inputs[0])
    if image_source(ctx, source) is not None:
        back = z_bounded(ctx, node, r, c)
    else:
        rank = len(ctx.dims(source))
        r = purge(ctx, r, 1, rank)
        back = propagate_by_form(ctx, nonnegative(ctx, source), r, layer_of_convolution(ctx, c))
        if not c.window.pointwise:
            back = uniform_shift(ctx, back, per_sample(ctx, r, rank), rank)
    return [back] + [None] * (len(node.inputs) - 1)


@linear("Conv")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer | None:
    """Return the convolution x·W + b; None where W or b are computed from the image."""
    source = node.inputs[0]
    if source is None or not ctx.graph.active(source) or any(map(ctx.graph.active, node.inputs[1:])):
        return None
    c, op = convolution(ctx, node), ctx.op
    scale, shift = affine_behind(ctx, node, 1)
    weight = scaled_weight(ctx, ctx.read(node.inputs[1]), scale.reshape(-1, *[1] * (1 + c.window.axes)))
    bias = constant_bias(ctx, node, 2)
    bias = None if bias is None else bias.reshape(-1, *[1] * c.window.axes)

    def apply(x: ir.Value, w: ir.Value | None, bias: np.ndarray | None = None) -> ir.Value:
        own = per_channel(bias, c.filters, c.window.axes)
        y = convolve(op, x, cast("ir.Value", w), c.window, c.group, own)
        return y if bias is None or own is not None else op.Add(y, bias)

    def adjoint(s: ir.Value, w: ir.Value | None) -> ir.Value:
        flat = ctx.merge(s, (c.filters, *c.window.out))
        back = adjoint_convolve(op, flat, cast("ir.Value", w), c.window, c.group, c.channels)
        return ctx.part(back, c.channels, *c.window.size)

    total = folded_bias(bias, scale, shift)
    size, output = size_and_output(ctx, node, node.inputs[1], scale, shift)
    return LinearLayer(
        node, 0, len(node.inputs), source, weight, total, apply, adjoint, size, output, image=image_source(ctx, source)
    )


@reports("Conv")
def describe(ctx: Context, node: ir.Node) -> dict[str, object]:
    """Say which form is chosen and what it costs; the layer on the image uses z^B."""
    if image_source(ctx, cast("ir.Value", node.inputs[0])) is None:
        return report(ctx, node)
    c = convolution(ctx, node)
    forward = 2 * c.filters * (c.channels // c.group) * math.prod(c.window.kernel) * math.prod(c.window.out)
    return {
        "form": "z-box",
        "operations": 4 * forward,
        "memory": 4 * 6 * c.channels * math.prod(c.window.size),
        "alternatives": [],
    }
