"""Transposed convolutions and Col2Im, which is one of them."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.nodes import attributes
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
from rsp_onnx.rulekit.convolution import Window, convolve
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import safe_divide
from rsp_onnx.rulekit.registry import Parts, linear, rule, vjp

from ..shared.image import image_source
from ..shared.purge import nonnegative, purge
from ..shared.reasons import UNSEEN
from ..shared.z_rule import z_rule

op_facts("ConvTranspose", role=Role.LAYER, data=Data.COMPUTES, sign=Sign.ANY, layout=Layout.CHANNELS_FIRST, weight=1,
         products=lambda node, sizes, out: math.prod(sizes[0]) * math.prod(sizes[1][1:]), loses=UNSEEN)  # fmt: skip
op_facts("Col2Im", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.KEEPS, layout=Layout.CHANNELS_FIRST)


@vjp("ConvTranspose")
def convolve_forward(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Conv(g, W), the convolution this op transposes. g: [K, N, M, *out] → [K, N, C, *size]."""
    return _back(ctx, node, g, ctx.read(node.inputs[1]))


@rule("ConvTranspose")
def share_by_positive_products(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the products of x and W⁺ (z⁺ rule): x ⊙ Conv(R⊘Convᵀ(x, W⁺), W⁺), also on the image.

    Beyond the paper, which has no such layer. x = [X]₊ as for Conv; the bias takes nothing. An output entry that no
    positive weight reaches (gaps between kernels, output_padding) keeps its relevance to itself.
    """
    op = ctx.op
    source = cast("ir.Value", node.inputs[0])
    x, weight = nonnegative(ctx, source), op.Relu(ctx.read(node.inputs[1]))
    r = purge(ctx, r, 1, len(ctx.dims(source)))
    same = attributes(node)
    z = op.emit("ConvTranspose", x, weight, **same)
    (back, *rest) = _back(ctx, node, safe_divide(op, r, z, nonnegative=True), weight)
    assert back is not None
    return [op.Mul(back, x), *rest]


@linear("ConvTranspose")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer | None:
    """Return the transposed convolution x·W + b; None where W or b are computed from the image."""
    source = node.inputs[0]
    if source is None or any(map(ctx.graph.active, node.inputs[1:])):
        return None
    scale, shift = affine_behind(ctx, node, 1)
    same = attributes(node)
    axes, bias = len(ctx.dims(source)) - 2, constant_bias(ctx, node, 2)
    bias = None if bias is None else bias.reshape(-1, *[1] * axes)

    def apply(x: ir.Value, w: ir.Value | None, bias: np.ndarray | None = None) -> ir.Value:
        own = per_channel(bias, ctx.sizes(node.outputs[0])[0], axes)
        y = ctx.op.emit("ConvTranspose", x, w, own, **same)
        return y if bias is None or own is not None else ctx.op.Add(y, bias)

    def adjoint(s: ir.Value, w: ir.Value | None) -> ir.Value:
        return cast("ir.Value", _back(ctx, node, s, cast("ir.Value", w))[0])

    weight = scaled_weight(ctx, ctx.read(node.inputs[1]), _per_weight(ctx, node, scale))
    total, image = folded_bias(bias, scale, shift), image_source(ctx, source)
    size, output = size_and_output(ctx, node, node.inputs[1], scale, shift)
    return LinearLayer(node, 0, len(node.inputs), source, weight, total, apply, adjoint, size, output, image=image)


def _per_weight(ctx: Context, node: ir.Node, scale: np.ndarray) -> np.ndarray:
    """One factor per filter as it multiplies W [C, M/group, *kernel], whose rows c/(C/group) make the filters."""
    if scale.size == 1:
        return scale.reshape(())
    group = cast("int", ctx.attr(node, "group", 1))
    rows = np.repeat(scale.reshape(group, -1), ctx.sizes(node.inputs[0])[0] // group, axis=0)
    return rows.reshape(*rows.shape, *[1] * (len(ctx.dims(node.inputs[0])) - 2))


@vjp("Col2Im")
def take_blocks(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Take the blocks of g out again (im2col). g: [K, N, C, *image] → [K, N, C·block, positions]."""
    channels, *image = ctx.sizes(node.outputs[0])
    block = [int(b) for b in ctx.need_constant(node, 2)]
    count = math.prod(block)
    w = _resolve(node, tuple(block), tuple(image), _blocks(node, image, block))
    one_hot = np.tile(np.eye(count).reshape(count, 1, *block), (channels, *[1] * (1 + len(block))))
    taken = convolve(ctx.op, ctx.merge(g, (channels, *image)), one_hot, w, channels)
    return [ctx.part(taken, channels * count, math.prod(w.out)), None, None]


@rule("Col2Im")
def share_overlaps(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r among overlapping blocks by their values (z-rule): X ⊙ vjp(R⊘Z), X + 1e-9 on both sides (RSP §3)."""
    return z_rule(ctx, node, r, take_blocks)


def _back(ctx: Context, node: ir.Node, g: ir.Value, weight: ir.Value) -> Parts:
    """Conv(g, W) over the input's size; BadModel where the weight is computed from the image."""
    if ctx.graph.active(node.inputs[1]):
        raise BadModel(
            f"The weight of the ConvTranspose node {node.name!r} is computed from the image; this is not supported: "
            "choose a later section behind it with --section."
        )
    w, group = _window(ctx, node), cast("int", ctx.attr(node, "group", 1))
    channels, filters = ctx.sizes(node.inputs[0])[0], ctx.sizes(node.outputs[0])[0]
    back = convolve(ctx.op, ctx.merge(g, (filters, *w.size)), weight, w, group)
    return [ctx.part(back, channels, *w.out)] + [None] * (len(node.inputs) - 1)


def _window(ctx: Context, node: ir.Node) -> Window:
    """Return the window of the convolution that this op transposes: its size is our output, its out our input."""
    kernel = tuple(int(k) for k in (ctx.dims(node.inputs[1])[2:]) if k is not None)
    return _resolve(node, kernel, tuple(ctx.sizes(node.outputs[0])[1:]), tuple(ctx.sizes(node.inputs[0])[1:]))


def _resolve(node: ir.Node, kernel: tuple[int, ...], size: tuple[int, ...], out: tuple[int, ...]) -> Window:
    """Resolve auto_pad and output_shape; both share out what the windows cover too much."""
    n = len(kernel)
    strides = tuple(node.attributes.get_ints("strides", [1] * n))
    dilations = tuple(node.attributes.get_ints("dilations", [1] * n))
    extra = node.attributes.get_ints("output_padding", [0] * n)
    before = list(node.attributes.get_ints("pads", [0] * 2 * n))[:n]
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    plain = Window(kernel, strides, dilations, (0,) * n, (0,) * n, size, out)
    total = [max(f + e - s, 0) for f, e, s in zip(plain.span, extra, size, strict=True)]
    if mode == "VALID":
        before = [0] * n
    elif mode != "NOTSET" or "output_shape" in node.attributes:
        before = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total]
    after = [max(f - b - s, 0) for f, b, s in zip(plain.span, before, size, strict=True)]
    return Window(kernel, strides, dilations, tuple(before), tuple(after), size, out)


def _blocks(node: ir.Node, image: list[int], block: list[int]) -> tuple[int, ...]:
    """Return how many blocks of a Col2Im node fit on each axis."""
    n = len(block)
    pads = node.attributes.get_ints("pads", [0] * 2 * n)
    strides, dilations = (node.attributes.get_ints(name, [1] * n) for name in ("strides", "dilations"))
    rows = zip(image, block, strides, dilations, pads[:n], pads[n:], strict=True)
    return tuple((i + b + a - (k - 1) * d - 1) // s + 1 for i, k, s, d, b, a in rows)
