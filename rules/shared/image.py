"""The z^B rule of the layer that reads the image (Montavon et al. 2017; RSP §3)."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from rsp_onnx.rulekit.affine import affine_behind
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Convolution, adjoint_convolve, convolve
from rsp_onnx.rulekit.linear import Dense
from rsp_onnx.rulekit.numerics import divide_sum
from rsp_onnx.rulekit.source import is_source

_SMALL = 2.0**-27  # times W, and S as much larger: what is made of the faintest relevance is not denormal


def image_source(ctx: Context, value: ir.Value) -> ir.Value | None:
    """Return the image a layer reads: the tensor itself, or what a zero Pad before it pads; None for hidden layers.

    A tensor is still the image while only movement and affine maps by constants lie between it and the graph's input.
    """
    if not is_source(ctx.graph, value):
        return None
    node = value.producer()
    if node is not None and node.op_type == "Pad" and _pads_zeros(ctx, node):
        return node.inputs[0]
    return value


def _pads_zeros(ctx: Context, node: ir.Node) -> bool:
    fill = ctx.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return str(ctx.attr(node, "mode", "constant")) == "constant" and (fill is None or not fill.any())


def z_bounded(ctx: Context, node: ir.Node, r: ir.Value, c: Convolution) -> ir.Value:
    """R_x = (X−L)⊙convᵀ(S,W⁺) + (X−H)⊙convᵀ(S,W⁻), S = R⊘(conv(X−L,W⁺) + conv(X−H,W⁻)).

    Neither term of Z is negative, so that a bias keeps the division finite (see ``divide_sum``). The same as Z =
    X*W − L*W⁺ − H*W⁻ and its three terms, with fewer products and no cancellation.
    L and H are the image's minimum and maximum per sample; a BatchNorm behind the layer is folded into W.
    """
    op, w = ctx.op, c.window
    weight = folded_weight(ctx, node) * _SMALL
    both = _low_and_high(ctx, node.inputs[0])
    grouped = _stack_for_groups(weight, c.group)
    z = convolve(op, _interleave(ctx, both, c), grouped, w, c.group, np.full(c.filters, op.bias * _SMALL))
    s = ctx.merge(op.Div(r, z), (c.filters, *w.out))
    back = adjoint_convolve(op, s, grouped, w, c.group)
    entries = c.channels // c.group * math.prod(w.size)
    back = op.Reshape(back, op.Concat(ctx.front, [-1, 2, entries], axis=0))
    parts = op.Mul(back, op.Reshape(_as_parts(ctx, both, c), [-1, 2, entries]))
    # a product with ones adds the two faster than ReduceSum does
    return ctx.part(op.MatMul(np.ones((1, 2)), parts), c.channels, *w.size)


def z_bounded_dense(ctx: Context, r: ir.Value, layer: Dense, source: ir.Value) -> ir.Value:
    """z^B for a dense layer on the image: the same formula with products x·W."""
    op = ctx.op
    found = ctx.constant(layer.weight)
    assert found is not None
    weight = found.astype(np.float64).T if layer.transposed else found.astype(np.float64)
    above, below = _low_and_high(ctx, source)
    upper, lower = np.maximum(weight, 0) * _SMALL, np.minimum(weight, 0) * _SMALL
    s = divide_sum(op, r, op.Add(op.MatMul(above, upper), op.MatMul(below, lower)), op.bias * _SMALL)
    back = [op.MatMul(s, np.ascontiguousarray(np.swapaxes(w, -1, -2))) for w in (upper, lower)]
    return op.Add(op.Mul(back[0], above), op.Mul(back[1], below))


def folded_weight(ctx: Context, node: ir.Node) -> np.ndarray:
    """Return W with the affine maps per channel that follow (BatchNorm, Mul, Div by constants) folded in."""
    weight = ctx.need_constant(node, 1).astype(np.float64)
    scale, _ = affine_behind(ctx, node, 1)
    return np.asarray(weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))


def _low_and_high(ctx: Context, value: ir.Value | None) -> tuple[ir.Value, ir.Value]:
    """Return (X−L, X−H), zero where a Pad before the layer added positions."""
    assert value is not None
    op, source = ctx.op, image_source(ctx, value)
    assert source is not None
    x = ctx.read(source)
    axes = [a - 1 for a in ctx.sample_axes(len(ctx.dims(source)))]
    parts = [op.Sub(x, op.ReduceMin(x, axes, keepdims=1)), op.Sub(x, op.ReduceMax(x, axes, keepdims=1))]
    node = value.producer()
    if source is not value and node is not None:
        parts = [op.Pad(p, node.inputs[1], None, *node.inputs[3:4]) for p in parts]
    return parts[0], parts[1]


def _stack_for_groups(weight: np.ndarray, group: int) -> np.ndarray:
    """[W⁺, W⁻] side by side along the input channels: [O, 2·C/group, *kernel]."""
    return np.concatenate([np.maximum(weight, 0), np.minimum(weight, 0)], axis=1)


def _as_parts(ctx: Context, both: tuple[ir.Value, ir.Value], c: Convolution) -> ir.Value:
    """(X−L, X−H) as one tensor [N, group, 2, C/group · |size|]."""
    shape = [-1, c.group, 1, c.channels // c.group * math.prod(c.window.size)]
    return ctx.op.Concat(*(ctx.op.Reshape(p, shape) for p in both), axis=2)


def _interleave(ctx: Context, both: tuple[ir.Value, ir.Value], c: Convolution) -> ir.Value:
    """(X−L, X−H) as one tensor [N, 2·C, *size] in the order a grouped convolution reads its channels."""
    return ctx.op.Reshape(_as_parts(ctx, both, c), [-1, 2 * c.channels, *c.window.size])
