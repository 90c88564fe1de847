"""Ops that ONNX Runtime fuses when it saves an optimised model: the rules of what was fused, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel, UnsupportedOp
from rsp_onnx.graph.nodes import attributes, input_at
from rsp_onnx.graph.op_facts import MICROSOFT, Data, Known, Layout, Role, Sign, facts_of_op, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide, swap
from rsp_onnx.rulekit.registry import (
    Parts,
    apply_rule,
    apply_vjp,
    find_vjp,
    linear,
    linear_layer,
    node_report,
    reports,
    rule,
    vjp,
)

from ..shared.reasons import UNSEEN


def _of_activation(_: Known, node: ir.Node) -> Sign:
    """Tell the sign of what the fused activation puts out."""
    facts = facts_of_op(node.attributes.get_string("activation", ""))
    return facts.sign if facts is not None and isinstance(facts.sign, Sign) else Sign.ANY


_FUSED = {"role": Role.LAYER, "data": Data.COMPUTES, "loses": UNSEEN}

op_facts(f"{MICROSOFT}FusedConv", **_FUSED, sign=_of_activation, layout=Layout.CHANNELS_FIRST,
         stands_for="Conv", weight=1)  # fmt: skip
op_facts(f"{MICROSOFT}FusedGemm", **_FUSED, sign=_of_activation, layout=Layout.CHANNELS_LAST,
         stands_for="Gemm", weight=1)  # fmt: skip
op_facts(f"{MICROSOFT}FusedMatMul", f"{MICROSOFT}TransposeMatMul", **_FUSED, sign=Sign.ANY,
         layout=Layout.CHANNELS_LAST, stands_for="MatMul", weight=-1)  # fmt: skip


_FINAL = ("Sigmoid", "HardSigmoid", "Softmax", "LogSoftmax")
_OF_SIGN = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid")  # the output tells the derivative
_PARAMETERS = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}


@rule(f"{MICROSOFT}FusedConv")
def propagate_conv(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """As Conv; a residual input first takes its share, as in an Add. The activation passes relevance unchanged."""
    twin, residual = _conv(ctx, node), input_at(node, 3)
    parts: list[ir.Value | None] = [None] * len(node.inputs)
    if residual is not None and ctx.graph.active(residual):
        op = ctx.op
        own = op.Conv(*(ctx.read(v) for v in node.inputs[:3] if v is not None), **attributes(twin))
        sizes = [op.Add(op.Relu(x), EPSILON) for x in (own, ctx.read(residual))]
        share = op.Div(r, op.Add(*sizes))
        r, parts[3] = op.Mul(sizes[0], share), op.Mul(sizes[1], share)
    parts[0] = apply_rule(ctx, twin, r)[0]
    return parts


@vjp(f"{MICROSOFT}FusedConv")
def convolve_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Convᵀ(g', W) with g' = g·f'(y); a residual input gets g'. A sigmoid that ends the model is left out."""
    g, twin = _behind_activation(ctx, node, g), _conv(ctx, node)
    rest = [g if i == 3 and ctx.graph.active(v) else None for i, v in enumerate(node.inputs)]
    return [apply_vjp(ctx, twin, g)[0], *rest[1:]]


@rule(f"{MICROSOFT}FusedGemm")
def propagate_gemm(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """As Gemm; the activation passes relevance unchanged."""
    twin = _gemm(ctx, node)
    return apply_rule(ctx, twin, r)


@vjp(f"{MICROSOFT}FusedGemm")
def multiply_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Gemm's gradient of g' = g·f'(y). A sigmoid that ends the model is left out."""
    twin = _gemm(ctx, node)
    return apply_vjp(ctx, twin, _behind_activation(ctx, node, g))


@linear(f"{MICROSOFT}FusedConv", f"{MICROSOFT}FusedGemm", f"{MICROSOFT}FusedMatMul", f"{MICROSOFT}TransposeMatMul")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer | None:
    """Return the layer before its activation; a residual input is told of."""
    residual = input_at(node, 3) if node.op_type == "FusedConv" else None
    makers = {"FusedConv": _conv, "FusedGemm": _gemm}
    twin = makers.get(node.op_type, _matmul)(ctx, node)
    if twin is None or (residual is not None and not ctx.graph.active(residual)):
        return None
    layer = linear_layer(ctx, twin)
    slot = None if residual is None else 3
    return None if layer is None else replace(layer, inputs=len(node.inputs), residual=slot)


@reports(f"{MICROSOFT}FusedConv", f"{MICROSOFT}FusedGemm")
def describe(ctx: Context, node: ir.Node) -> dict[str, object] | None:
    """Say what the op without its activation says."""
    return node_report(ctx, _conv(ctx, node) if node.op_type == "FusedConv" else _gemm(ctx, node))


def _conv(ctx: Context, node: ir.Node) -> ir.Node:
    return ctx.stand_in(node, "Conv", node.inputs[:3], _without(node, "activation", "activation_params"))


def _gemm(ctx: Context, node: ir.Node) -> ir.Node:
    own = ("activation", "activation_alpha", "activation_beta", "activation_gamma")
    return ctx.stand_in(node, "Gemm", node.inputs, _without(node, *own))


def _without(node: ir.Node, *names: str) -> list[ir.Attr]:
    return [a for name, a in node.attributes.items() if name not in names]


def _behind_activation(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    """g·f'(x) of the fused activation; where y alone does not tell f', x is computed again."""
    kind = str(ctx.attr(node, "activation", ""))
    ends = not ctx.graph.consumers(node.outputs[0])
    if not kind or (ends and kind in _FINAL):  # the scores are explained before their sigmoid
        return g
    twin = ctx.stand_in(node, kind, *_activation(ctx, node, kind))
    found = find_vjp(twin)
    if found is None:
        raise UnsupportedOp(f"No gradient for {kind}, which is fused into the {node.op_type} node {node.name!r}.")
    back = found(ctx, twin, g)[0]
    assert back is not None
    return back


def _activation(ctx: Context, node: ir.Node, kind: str) -> tuple[list[ir.Value | np.ndarray | None], list[ir.Attr]]:
    """Return inputs and attributes of the fused activation as a node of its own."""
    source = node.outputs[0]
    if node.op_type == "FusedGemm":
        names = [n for n in ("alpha", "beta", "gamma") if f"activation_{n}" in node.attributes]
        keep = [ir.AttrFloat32(n, node.attributes.get_float(f"activation_{n}", 0.0)) for n in names]
        return [source if kind in _OF_SIGN else _before_activation(ctx, node)], keep
    if kind not in _OF_SIGN:
        raise UnsupportedOp(f"No gradient for {kind}, which is fused into the {node.op_type} node {node.name!r}.")
    values = cast("Sequence[float]", ctx.attr(node, "activation_params", []))
    if kind == "Clip":
        return [source, *(np.array(v, np.float32) for v in values)], []
    return [source], [ir.AttrFloat32(n, v) for n, v in zip(_PARAMETERS.get(kind, ()), values, strict=False)]


def _before_activation(ctx: Context, node: ir.Node) -> ir.Value:
    keep = {n: node.attributes[n].value for n in ("alpha", "beta", "transA", "transB") if n in node.attributes}
    x = ctx.op.Gemm(*(ctx.read(v) for v in node.inputs if v is not None), **keep)
    x.shape, x.dtype = node.outputs[0].shape, ctx.op.type
    return x


@rule(f"{MICROSOFT}FusedMatMul", f"{MICROSOFT}TransposeMatMul")  # the latter is its old name
def propagate_product(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """As MatMul; a product of two activations gives relevance to the right one, the left one acts as its weights."""
    twin = _matmul(ctx, node)
    if twin is not None:
        return apply_rule(ctx, twin, r)
    op, (a, b) = ctx.op, _turned(ctx, node)
    b = op.Add(op.Relu(b), EPSILON)
    s = safe_divide(op, r, op.MatMul(a, b))
    return [None, _turn_back(ctx, node, 1, op.Mul(op.MatMul(swap(ctx.op, a, len(ctx.dims(node.inputs[0]))), s), b))]


@vjp(f"{MICROSOFT}FusedMatMul", f"{MICROSOFT}TransposeMatMul")
def product_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """alpha·g·Bᵀ and alpha·Aᵀ·g for the factors as they are multiplied."""
    op, twin = ctx.op, _matmul(ctx, node)
    if all(ctx.graph.active(v) for v in node.inputs):  # a constant factor is multiplied by alpha itself
        g = op.Mul(g, node.attributes.get_float("alpha", 1.0))
    if twin is not None:
        return apply_vjp(ctx, twin, g)
    a, b = _turned(ctx, node)
    rank = len(ctx.dims(node.outputs[0]))
    left, right = op.MatMul(g, swap(ctx.op, b, rank)), op.MatMul(swap(ctx.op, a, rank), g)
    return [_turn_back(ctx, node, i, part) for i, part in enumerate((left, right))]


def _matmul(ctx: Context, node: ir.Node) -> ir.Node | None:
    """Return the MatMul, by alpha times the constant factor as it is multiplied; None where activations are turned."""
    active = [ctx.graph.active(v) for v in node.inputs]
    slot = active.index(False) if False in active else None
    names = ("transA", "transB", "transBatchA", "transBatchB")
    if slot is None and not any(ctx.attr(node, name, 0) for name in names):
        return ctx.stand_in(node, "MatMul", node.inputs)
    if slot is None or any(ctx.attr(node, word + "BA"[slot], 0) for word in ("trans", "transBatch")):
        return None
    weight = ctx.need_constant(node, slot).astype(np.float32)
    weight = np.ascontiguousarray(np.transpose(weight, _order(node, slot, weight.ndim)))
    weight = weight * np.float32(node.attributes.get_float("alpha", 1.0))
    return ctx.stand_in(node, "MatMul", [weight if i == slot else v for i, v in enumerate(node.inputs)])


def _turned(ctx: Context, node: ir.Node) -> tuple[ir.Value, ir.Value]:
    """Return both factors as they are multiplied."""
    orders = [_order(node, slot, len(ctx.dims(v))) for slot, v in enumerate(node.inputs)]
    stacks = [[ctx.dims(v)[i] for i in order[:-2]] for v, order in zip(node.inputs, orders, strict=True)]
    if stacks[0] != stacks[1] or not all(ctx.graph.active(v) for v in node.inputs):
        raise BadModel(f"The FusedMatMul node {node.name!r} stacks or transposes in a way that is not supported.")
    a, b = (_transposed(ctx, ctx.read(v), order) for v, order in zip(node.inputs, orders, strict=True))
    return a, b


def _turn_back(ctx: Context, node: ir.Node, slot: int, part: ir.Value) -> ir.Value:
    order = _order(node, slot, len(ctx.dims(node.inputs[slot])))
    return _transposed(ctx, part, [0, *(1 + int(i) for i in np.argsort(order))])


def _order(node: ir.Node, slot: int, rank: int) -> list[int]:
    """Return the order of axes in which a factor is multiplied: transBatch moves the first one behind the stacks."""
    order = list(range(rank))
    if node.attributes.get_int("transBatch" + "AB"[slot], 0):
        order = [*order[1:-1], 0, order[-1]]
    if node.attributes.get_int("trans" + "AB"[slot], 0):
        order[-2:] = order[-1], order[-2]
    return order


def _transposed(ctx: Context, x: ir.Value, order: list[int]) -> ir.Value:
    return x if order == sorted(order) else ctx.op.Transpose(x, perm=order)
