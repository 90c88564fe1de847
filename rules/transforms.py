"""Linear transforms of whole rows: Fourier, and the rotations of position embeddings."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.context import Context
from rsp_onnx.errors import BadModel
from rsp_onnx.numerics import cut, pad
from rsp_onnx.registry import Parts, rule, vjp

from ._places import attributes
from ._z_rule import z_rule

_AXIS_IS_INPUT = 20  # of opset, for DFT


@vjp("DFT")
def transform_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Go through the conjugate transform: n times the inverse one, or the forward one over n. g: [K, *output]."""
    op, (source, *_) = ctx.op, node.inputs
    inverse, axis = bool(ctx.attr(node, "inverse", 0)), _axis(ctx, node)
    if inverse and ctx.attr(node, "onesided", 0):
        raise BadModel(f"The DFT node {node.name!r} is inverse and one-sided, which is not supported.")
    size, rank = ctx.dims(source)[axis], len(ctx.dims(source)) + 1
    length = size if _slot(node, 1) is None else int(ctx.need_constant(node, 1))
    if size is None or length is None:
        raise BadModel(f"The DFT node {node.name!r} works along axis {axis}, whose size is free; fix it.")
    g = _fill(ctx, g, axis + 1, cast("int", ctx.dims(node.outputs[0])[axis]), length, rank)
    back = op.Div(_dft(ctx, g, axis + 1, 0), float(length)) if inverse else op.Mul(
        _dft(ctx, g, axis + 1, 1), float(length)
    )
    back = _fill(ctx, back, axis + 1, length, size, rank)
    real = ctx.dims(source)[-1] == 1  # what the imaginary part would get is left out
    return [cut(op, back, rank - 1, 0, 1) if real else back] + [None] * (len(node.inputs) - 1)


@rule("DFT")
def share_by_value(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the values summed up (z-rule): X ⊙ vjp(R⊘Z), X + 1e-9 on both sides (RSP §3)."""
    return z_rule(ctx, node, r, transform_back)


def _axis(ctx: Context, node: ir.Node) -> int:
    rank = len(ctx.dims(node.inputs[0]))
    if _takes_axis(ctx):
        return int(ctx.need_constant(node, 2)) % rank if _slot(node, 2) is not None else rank - 2
    return cast("int", ctx.attr(node, "axis", 1)) % rank


def _takes_axis(ctx: Context) -> bool:
    return ctx.graph.model.graph.opset_imports[""] >= _AXIS_IS_INPUT


def _dft(ctx: Context, x: ir.Value, axis: int, inverse: int) -> ir.Value:
    if _takes_axis(ctx):
        return ctx.op.DFT(x, None, np.array(axis), inverse=inverse)
    return ctx.op.DFT(x, axis=axis, inverse=inverse)


def _fill(ctx: Context, v: ir.Value, axis: int, size: int, wanted: int, rank: int) -> ir.Value:
    """Cut an axis to a size, or fill it up with zeros."""
    if size > wanted:
        return cut(ctx.op, v, axis, 0, wanted)
    return pad(ctx.op, v, [0] * rank, [wanted - size if i == axis else 0 for i in range(rank)])


@rule("RotaryEmbedding")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged: turning pairs of entries marks positions, it keeps their norm (RSP §3)."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("RotaryEmbedding")
def turn_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Turn the pairs back, by −sin. Positions are repeated for every target."""
    op, source = ctx.op, node.inputs[0]
    assert source is not None
    cosine, sine = (ctx.read(v) for v in node.inputs[1:3])
    positions = _slot(node, 3)
    if positions is None:  # the angles of each sample, one row each
        cosine, sine = _repeated(ctx, cosine, node.inputs[1]), _repeated(ctx, sine, node.inputs[2])
    else:
        positions = _repeated(ctx, positions, positions)
    back = op.RotaryEmbedding(
        ctx.merge(g, ctx.sizes(source)), cosine, op.Neg(sine), positions, **attributes(node)
    )
    return [ctx.like(back, source)] + [None] * (len(node.inputs) - 1)


def _repeated(ctx: Context, view: ir.Value, value: ir.Value | None) -> ir.Value:
    """Repeat a tensor [N, ...] for all K targets: [K·N, ...]."""
    ones = np.ones(len(ctx.dims(value)) - 1, np.int64)
    return ctx.op.Tile(view, ctx.op.Concat(ctx.front, ones, axis=0))


def _slot(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if len(node.inputs) > index else None
