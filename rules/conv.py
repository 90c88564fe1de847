"""Convolutions of any rank, stride, dilation, padding and group."""

from __future__ import annotations

import math
from typing import cast

import onnx_ir as ir

from rsp_onnx.context import Context
from rsp_onnx.linear import adjoint_convolve, convolution
from rsp_onnx.numerics import per_sample, uniform_shift
from rsp_onnx.registry import Parts, reports, rule, vjp

from ._forms import choose, propagate_conv, report
from ._image import image_source, z_bounded
from ._purge import nonnegative, purge


@vjp("Conv")
def convolve_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Convᵀ(g, W). g: [K, N, O, *out] → [K, N, C, *size]."""
    c = convolution(ctx, node)
    flat = ctx.merge(g, (c.filters, *c.window.out))
    back = adjoint_convolve(ctx.op, flat, ctx.read(node.inputs[1]), c.window, c.group)
    return [ctx.part(back, c.channels, *c.window.size)] + [None] * (len(node.inputs) - 1)


@rule("Conv")
def propagate(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Weight by activations and relevance; doubled and shifted for k > 1; z^B on the image (RSP §3).

    r: [K, N, O, *out] → [K, N, C, *size]. The bias takes nothing; the layer's weights count on the image alone.
    """
    c = convolution(ctx, node)
    source = cast("ir.Value", node.inputs[0])
    if image_source(ctx, source) is not None:
        back = z_bounded(ctx, node, r, c)
    else:
        rank = len(ctx.dims(source))
        r = purge(ctx, r, 1, rank)
        back = propagate_conv(ctx, nonnegative(ctx, source), r, c, choose(ctx, node))
        if not c.window.pointwise:
            back = uniform_shift(ctx, ctx.op.Mul(back, 2.0), per_sample(ctx, r, rank), rank)
    return [back] + [None] * (len(node.inputs) - 1)


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
