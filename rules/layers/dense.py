"""Gemm and MatMul: dense layers, flat or per position, and products of two activations."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.affine import affine_behind, constant_bias, folded_bias, scaled_weight, size_and_output
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import Dense, LinearLayer, dense
from rsp_onnx.rulekit.numerics import EPSILON, broadcast_axes, safe_divide, swap, unbroadcast, uniform_shift
from rsp_onnx.rulekit.registry import Parts, linear, reports, rule, vjp

from ..forms.choose import layer_of_rows, report
from ..forms.choose import propagate as propagate_by_form
from ..shared.gates import is_attention
from ..shared.image import image_source, z_bounded_dense
from ..shared.purge import nonnegative, purge
from ..shared.reasons import UNSEEN

_DENSE = {"role": Role.LAYER, "data": Data.COMPUTES, "sign": Sign.ANY, "layout": Layout.CHANNELS_LAST, "loses": UNSEEN}

op_facts("Gemm", **_DENSE, weight=1, products=lambda node, sizes, out: math.prod(sizes[0]) * out[-1])
op_facts("MatMul", **_DENSE, weight=-1, products=lambda node, sizes, out: math.prod(out) * sizes[0][-1])


@vjp("MatMul", "Gemm")
def multiply_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·Bᵀ for the left factor, Aᵀ·g for the right one; Gemm's alpha scales both, its bias gets g·beta."""
    if node.op_type == "Gemm":
        return _gemm(ctx, node, g)
    layer = dense(ctx, node)
    if layer is not None and layer.slot == 0 and len(ctx.dims(layer.weight)) == 2:
        return [_through_weight(ctx, g, layer, cast("ir.Value", node.inputs[0])), None]
    a, b = node.inputs
    return [_left(ctx, node, g) if ctx.graph.active(a) else None, _right(ctx, node, g) if ctx.graph.active(b) else None]


def _gemm(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    op, (a, b, *rest) = ctx.op, node.inputs
    alpha, beta = (float(cast("float", ctx.attr(node, name, 1.0))) for name in ("alpha", "beta"))
    turned = [bool(ctx.attr(node, name, 0)) for name in ("transA", "transB")]
    layer = dense(ctx, node)
    parts: list[ir.Value | None] = [None] * len(node.inputs)
    if layer is not None and layer.slot == 0 and not turned[0]:
        parts[0] = _through_weight(ctx, g, layer, cast("ir.Value", a))
    elif ctx.graph.active(a):
        left = op.MatMul(g, ctx.read(b) if turned[1] else op.Transpose(ctx.read(b), perm=[1, 0]))
        parts[0] = _scaled(ctx, op.Transpose(left, perm=[0, 2, 1]) if turned[0] else left, alpha)
    if ctx.graph.active(b):
        right = op.MatMul(ctx.read(a) if turned[0] else op.Transpose(ctx.read(a), perm=[1, 0]), g)
        parts[1] = _scaled(ctx, op.Transpose(right, perm=[0, 2, 1]) if turned[1] else right, alpha)
    if rest and ctx.graph.active(rest[0]):
        parts[2] = _scaled(ctx, unbroadcast(ctx, g, node.outputs[0], cast("ir.Value", rest[0])), beta)
    return parts


def _scaled(ctx: Context, value: ir.Value, by: float) -> ir.Value:
    return value if by == 1.0 else ctx.op.Mul(value, by)


def _through_weight(ctx: Context, g: ir.Value, layer: Dense, source: ir.Value) -> ir.Value:
    """g·Wᵀ as one product over rows; Gemm transposes while it reads, so W is never copied."""
    return _rows_back(ctx, g, layer, source, ctx.read(layer.weight), layer.scale)


def _rows_back(
    ctx: Context, g: ir.Value, layer: Dense, source: ir.Value, weight: ir.Value, scale: float = 1.0
) -> ir.Value:
    """scale·g·Wᵀ with another weight of the layer's shape."""
    outputs = ctx.dims(layer.weight)[0 if layer.transposed else 1]
    rows = ctx.op.Reshape(g, [-1, cast("int", outputs)])
    return ctx.like(ctx.op.Gemm(rows, weight, transB=int(not layer.transposed), alpha=scale), source)


def _left(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    right, rank = _matrix(ctx, node, 1)
    back = ctx.op.MatMul(_as_matrices(ctx, node, g), swap(ctx.op, right, rank))
    return _narrow(ctx, back, node, cast("ir.Value", node.inputs[0]))


def _right(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    left, rank = _matrix(ctx, node, 0)
    back = ctx.op.MatMul(swap(ctx.op, left, rank), _as_matrices(ctx, node, g))
    return _narrow(ctx, back, node, cast("ir.Value", node.inputs[1]))


def _matrix(ctx: Context, node: ir.Node, slot: int) -> tuple[ir.Value, int]:
    """Return a factor and its rank; one with a single axis becomes a row on the left, a column on the right."""
    value, rank = ctx.read(node.inputs[slot]), len(ctx.dims(node.inputs[slot]))
    return (value, rank) if rank > 1 else (ctx.op.Unsqueeze(value, [slot]), 2)


def _as_matrices(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    """Give g the axes that a row or column factor took away."""
    for slot in (1, 0):
        if len(ctx.dims(node.inputs[slot])) == 1:
            g = ctx.op.Unsqueeze(g, [slot - 2])
    return g


def _narrow(ctx: Context, back: ir.Value, node: ir.Node, source: ir.Value) -> ir.Value:
    """Sum over the stacking axes along which one factor was broadcast."""
    result = ctx.dims(node.outputs[0])
    wide = result[: len(result) - sum(len(ctx.dims(v)) > 1 for v in node.inputs[:2])]
    narrow = ctx.dims(source)[:-2]
    if wide == narrow and len(ctx.dims(source)) > 1:
        return back
    axes = broadcast_axes(wide, narrow)
    if axes:
        back = ctx.op.ReduceSum(back, axes, keepdims=0)
    return ctx.like(back, source) if axes or len(ctx.dims(source)) == 1 else back


@rule("MatMul", "Gemm")
def propagate(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Weight by activations and relevance; doubled and shifted when flat, else as 1×1; z^B on the image (RSP §3)."""
    if any(len(ctx.dims(v)) < 2 for v in node.inputs[:2]):
        raise BadModel(f"The {node.op_type} node {node.name!r} has a factor with one axis; it has no relevance rule.")
    layer = dense(ctx, node)
    if layer is None:
        return _share_product(ctx, node, r)
    source = node.inputs[layer.slot]
    assert source is not None
    if layer.slot != 0 or ctx.attr(node, "transA", 0):
        back = _mix_rows(ctx, node, r)
    elif image_source(ctx, source) is not None:
        back = _narrow(ctx, z_bounded_dense(ctx, r, layer, source), node, source)
    else:
        rank = len(ctx.dims(source))
        r = purge(ctx, r, rank - 1, rank)
        back = _flat(ctx, r, source) if layer.flat else _per_position(ctx, node, r, layer)
    return [back if i == layer.slot else None for i in range(len(node.inputs))]


def _flat(ctx: Context, r: ir.Value, source: ir.Value) -> ir.Value:
    """Use that one position makes Γ = Σx² a number: C_p − C_n = x²·ΣR/Γ. r [K,N,O] → [K,N,F]."""
    op, x = ctx.op, nonnegative(ctx, source)
    squares = op.Mul(x, x)
    total = op.ReduceSum(r, [2], keepdims=1)
    scale = safe_divide(op, op.Mul(total, 2.0), op.ReduceSum(squares, [1], keepdims=1), nonnegative=True)
    return uniform_shift(ctx, op.Mul(squares, scale), total, 2)


def _per_position(ctx: Context, node: ir.Node, r: ir.Value, layer: Dense) -> ir.Value:
    """Apply the 1×1 rule over all rows that share a weight: x [N,...,F] as [N,g,P,F], r [K,N,...,O] as [K,N,g,P,O].

    Stacked weights [g, F, O] are g layers beside each other, as the groups of a convolution.
    """
    source = cast("ir.Value", node.inputs[layer.slot])
    *own, features = ctx.sizes(source)
    *places, outputs = ctx.sizes(node.outputs[0])
    group, x = _stacks(ctx, node, layer), nonnegative(ctx, source)
    if own != places:
        x = ctx.op.Expand(x, [1, *places, features])
    count = math.prod(places) // group * ((ctx.dims(source)[0] or 1) if ctx.single else 1)
    rows = ctx.op.Reshape(x, [1 if ctx.single else -1, group, count, features])
    form = layer_of_rows(ctx, count, features, outputs, group)
    back = propagate_by_form(ctx, rows, ctx.part(r, group, count, outputs), form)
    return _narrow(ctx, ctx.part(back, *places, features), node, source)


def _stacks(ctx: Context, node: ir.Node, layer: Dense) -> int:
    """Return how many weights are stacked; each must stand before rows of its own."""
    above = ctx.dims(layer.weight)[:-2]
    while above and above[0] == 1:
        above = above[1:]
    wide = ctx.sizes(node.outputs[0])[:-2]
    if above and above != wide:
        raise BadModel(f"The MatMul node {node.name!r} stacks weights as {above} over {wide}; this is not supported.")
    return math.prod(wide) if above else 1


def _mix_rows(ctx: Context, node: ir.Node, r: ir.Value) -> ir.Value:
    """Share by the z⁺ products of W and x where a constant on the left mixes positions."""
    slot = 1 if not ctx.graph.active(node.inputs[0]) else 0
    source = node.inputs[slot]
    weight = ctx.need_constant(node, 1 - slot)
    if source is None or slot != 1 or weight.ndim != 2 or node.op_type != "MatMul":
        raise BadModel(f"The {node.op_type} node {node.name!r} transposes the activation; this is not supported yet.")
    op, x, w = ctx.op, nonnegative(ctx, source), np.maximum(weight, 0)
    s = safe_divide(op, r, op.MatMul(w, x), nonnegative=True)
    return op.Mul(op.MatMul(np.ascontiguousarray(w.T), s), x)


def _share_product(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Give relevance to the values by the z-rule, the attention weights acting as the linear map (RSP §3)."""
    a, b = node.inputs[:2]
    if node.op_type != "MatMul" or a is None or b is None:
        raise BadModel(f"The Gemm node {node.name!r} multiplies two activations; this is not supported.")
    op = ctx.op
    if is_attention(ctx, b) and not is_attention(ctx, a):
        x = op.Add(nonnegative(ctx, a), EPSILON)
        s = safe_divide(op, r, op.MatMul(x, ctx.read(b)))
        return [op.Mul(_narrow(ctx, op.MatMul(s, _turned(ctx, b)), node, a), x), None]
    x = op.Add(nonnegative(ctx, b), EPSILON)
    s = safe_divide(op, r, op.MatMul(ctx.read(a), x))
    return [None, op.Mul(_narrow(ctx, op.MatMul(_turned(ctx, a), s), node, b), x)]


def _turned(ctx: Context, value: ir.Value) -> ir.Value:
    """Swap the last two axes of a forward tensor."""
    return swap(ctx.op, ctx.read(value), len(ctx.dims(value)))


@linear("MatMul", "Gemm")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer | None:
    """Return the dense layer x·W + b; None for a product of two activations, or of one that is transposed."""
    layer = dense(ctx, node)
    if layer is None or layer.slot != 0 or ctx.attr(node, "transA", 0) or any(map(ctx.graph.active, node.inputs[2:])):
        return None
    source, rank = cast("ir.Value", node.inputs[0]), len(ctx.dims(layer.weight))
    if min(rank, len(ctx.dims(source))) < 2:
        return None
    scale, shift = affine_behind(ctx, node, len(ctx.dims(node.outputs[0])) - 1)
    bias = constant_bias(ctx, node, 2)
    bias = None if bias is None else bias * cast("float", ctx.attr(node, "beta", 1.0))
    along = scale.reshape(-1, 1) if layer.transposed else scale.reshape(-1)
    weight = scaled_weight(ctx, ctx.read(layer.weight), along * layer.scale)

    def apply(x: ir.Value, w: ir.Value | None, bias: np.ndarray | None = None) -> ir.Value:
        if layer.transposed:
            return ctx.op.Gemm(x, w, bias, transB=1)
        y = ctx.op.MatMul(x, w)
        return y if bias is None else ctx.op.Add(y, bias)

    def adjoint(s: ir.Value, w: ir.Value | None) -> ir.Value:
        if rank == 2:
            return _rows_back(ctx, s, layer, source, cast("ir.Value", w))
        return _narrow(ctx, ctx.op.MatMul(s, swap(ctx.op, cast("ir.Value", w), rank)), node, source)

    total, image = folded_bias(bias, scale, shift), image_source(ctx, source)
    size, output = size_and_output(ctx, node, layer.weight, scale * layer.scale, shift)
    return LinearLayer(node, 0, len(node.inputs), source, weight, total, apply, adjoint, size, output, True, image)


@reports("MatMul", "Gemm")
def describe(ctx: Context, node: ir.Node) -> dict[str, object] | None:
    """Say which form is chosen for a dense layer per position; the others have one form only."""
    layer = dense(ctx, node)
    if layer is None or layer.slot != 0 or ctx.attr(node, "transA", 0) or layer.flat:
        return None
    return None if image_source(ctx, cast("ir.Value", node.inputs[0])) is not None else report(ctx, node)
