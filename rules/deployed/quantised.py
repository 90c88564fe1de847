"""Integer ops: each has the rule of the op it is quantised from, on the numbers its integers stand for.

Rounding is not differentiated (straight-through); where it cuts off the negative numbers, it is the ReLU that the
quantiser left out. Scales found in the image are statistics: nothing flows there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel, UnsupportedOp
from rsp_onnx.graph.op_facts import MICROSOFT, Data, Layout, Role, Sign, op_facts, plain_op
from rsp_onnx.rulekit.affine import affine_behind_integers, folded_bias, scaled_weight
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.registry import (
    Parts,
    Rule,
    find_rule,
    find_vjp,
    linear,
    linear_layer,
    moves,
    node_report,
    reports,
    rule,
    statistics,
    vjp,
)

from ..shared.reasons import CANCELLED, CONSTANT_PART, UNSEEN

_NEW = {"data": Data.COMPUTES, "sign": Sign.ANY}
_CONV = {**_NEW, "role": Role.LAYER, "layout": Layout.CHANNELS_FIRST, "stands_for": "Conv", "loses": UNSEEN}
_PRODUCT = {**_CONV, "layout": Layout.CHANNELS_LAST, "stands_for": "MatMul"}
_ROUNDS = {"role": Role.OTHER, "data": Data.QUANTISES, "sign": Sign.KEEPS_NONNEGATIVE}
_Q = f"{MICROSOFT}QLinear"

op_facts("QuantizeLinear", f"{MICROSOFT}QuantizeLinear", **_ROUNDS, output_scale=1)
op_facts("DynamicQuantizeLinear", **_ROUNDS, stands_for="QuantizeLinear")
op_facts("QLinearConv", **_CONV, weight=3, output_scale=6)
op_facts("ConvInteger", **_CONV, weight=1, integer_sums=True)
op_facts("QLinearMatMul", **_PRODUCT, weight=3, output_scale=6)
op_facts("MatMulInteger", **_PRODUCT, weight=1, integer_sums=True)
op_facts(f"{MICROSOFT}DynamicQuantizeMatMul", f"{MICROSOFT}MatMulIntegerToFloat", **_PRODUCT, weight=1)
op_facts(f"{MICROSOFT}QGemm", **{**_PRODUCT, "stands_for": "Gemm"}, weight=3, output_scale=7)
op_facts(f"{_Q}Add", **_NEW, role=Role.ARITHMETIC, stands_for="Add", sums=True, output_scale=6)
op_facts(f"{_Q}Mul", **_NEW, role=Role.ARITHMETIC, stands_for="Mul", output_scale=6)
op_facts(f"{_Q}Concat", role=Role.OTHER, data=Data.JOINS, sign=Sign.ANY, stands_for="Concat", output_scale=0,
         loses=CONSTANT_PART)  # fmt: skip
op_facts(f"{_Q}GlobalAveragePool", **_NEW, role=Role.POOL, output_scale=3, stands_for="GlobalAveragePool",
         loses=CANCELLED)  # fmt: skip
op_facts(f"{_Q}AveragePool", **_NEW, role=Role.POOL, output_scale=3, layout=Layout.CHANNELS_FIRST,
         stands_for="AveragePool", loses=CANCELLED)  # fmt: skip
op_facts(f"{_Q}Sigmoid", role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.UNIT, output_scale=3,
         stands_for="Sigmoid", score_kind="sigmoid")  # fmt: skip
op_facts(f"{_Q}Softmax", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.UNIT, output_scale=3, stands_for="Softmax",
         score_kind="softmax")  # fmt: skip
op_facts(f"{_Q}LeakyRelu", **_NEW, role=Role.ACTIVATION, output_scale=3, stands_for="LeakyRelu")
statistics("DynamicQuantizeLinear", 1, 2, reason="the scale and the zero point are statistics of the image")

_LAYERS = ("QLinearConv", "QLinearMatMul", f"{MICROSOFT}QGemm")
_INTEGER = ("ConvInteger", "MatMulInteger")
_SCALED = (f"{MICROSOFT}DynamicQuantizeMatMul", f"{MICROSOFT}MatMulIntegerToFloat")
_REST = tuple(
    f"{MICROSOFT}QLinear{op}"
    for op in ("Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool", "Softmax", "Sigmoid", "LeakyRelu")
)
_RECTIFYING = ("Conv", "MatMul", "Gemm", "Add", "Mul")  # a ReLU behind them is dropped when the model is quantised
_KEPT = {
    "Conv": ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"),
    "Gemm": ("alpha", "transA", "transB"),
    "AveragePool": ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"),
    "Concat": ("axis",),
    "Softmax": ("axis",),
    "LeakyRelu": ("alpha",),
}


@rule("QuantizeLinear", f"{MICROSOFT}QuantizeLinear")
def hand_through_quantisation(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Hand relevance on unchanged: integers carry what the numbers they stand for carry."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("QuantizeLinear", f"{MICROSOFT}QuantizeLinear")
def straight_through_rounding(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Hand the gradient on unchanged (straight-through estimator), but none where a negative was cut off to 0."""
    return [_rectified(ctx, node, g)] + [None] * (len(node.inputs) - 1)


@moves("DynamicQuantizeLinear")
def hand_through_rounding(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Hand relevance on unchanged from the integers to the tensor they round (straight-through estimator)."""
    return [r]


@rule(*_LAYERS, *_INTEGER, *_SCALED, *_REST)
def as_in_floats(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Treat relevance as the op in floating point does, on dequantised values."""
    return _through(ctx, _twin(ctx, node), r, find_rule)


@vjp(*_LAYERS, *_SCALED, *_REST)
def straight_through(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Take the gradient of the op in floating point, on dequantised values; none where a negative was cut off to 0."""
    if plain_op(node) in _RECTIFYING:
        g = _rectified(ctx, node, g)
    return _through(ctx, _twin(ctx, node), g, find_vjp)


@vjp(*_INTEGER)
def of_integers(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Take the gradient of the product; its int32 are the product of the numbers over the factors' scales."""
    twin = _twin(ctx, node)
    for slot in twin.slots:
        value = node.inputs[slot]
        if value is not None and (found := ctx.views.quantisation(value)) is not None:
            g = ctx.op.Div(g, found.scale)
    return _through(ctx, twin, g, find_vjp)


def _rectified(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    """Set g to 0 where integers, whose lowest one stands for 0, are at 0."""
    op, y = ctx.op, node.outputs[0]
    found = ctx.views.quantisation(y)
    if found is None or not found.rectifies:
        return g
    return op.Mul(g, op.Cast(op.Greater(ctx.read(y), 0.0), to=int(op.type)))


@linear(*_LAYERS, *_INTEGER, *_SCALED, f"{MICROSOFT}QLinearGlobalAveragePool", f"{MICROSOFT}QLinearAveragePool")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer | None:
    """Return the layer on the numbers the integers stand for."""
    twin = _twin(ctx, node)
    layer = linear_layer(ctx, twin.node)
    if layer is None:
        return None
    weight, bias, size = layer.weight, _bias(ctx, node), layer.size
    if node.op_type in _INTEGER and weight is not None:
        axis, rank = len(ctx.dims(node.outputs[0])) - 1 if layer.dense else 1, len(ctx.dims(node.inputs[1]))
        scale, shift = affine_behind_integers(ctx, node, axis)
        along = scale if layer.dense else scale.reshape(-1, *[1] * (rank - 1))
        weight, bias = scaled_weight(ctx, weight, along), folded_bias(None, scale, shift)
        size = size * float(np.abs(along).max())
    slot = twin.slots[layer.slot]
    return replace(layer, slot=slot, inputs=twin.inputs, weight=weight, bias=bias, size=size)


# where the bias stands, and the scales that make numbers of its integers
_BIASES: dict[str, tuple[int, tuple[int, ...]]] = {
    "QLinearConv": (8, (1, 4)),
    "QGemm": (6, (1, 4)),
    "DynamicQuantizeMatMul": (4, ()),
    "MatMulIntegerToFloat": (6, ()),
}


def _bias(ctx: Context, node: ir.Node) -> np.ndarray | None:
    """Return the bias as it is added to the output, None where there is none."""
    slot, scales = _BIASES.get(node.op_type, (len(node.inputs), ()))
    if len(node.inputs) <= slot or (found := ctx.constant(node.inputs[slot])) is None:
        return None
    bias = found.astype(np.float64) * node.attributes.get_float("alpha", 1.0)
    for at in scales:
        bias = bias * ctx.need_constant(node, at).astype(np.float64)
    axes = len(ctx.dims(node.outputs[0])) - 2
    return bias.reshape(-1, *[1] * axes) if plain_op(node) == "Conv" else bias


@reports(*_LAYERS, *_INTEGER, *_SCALED)
def describe(ctx: Context, node: ir.Node) -> dict[str, object] | None:
    """Say what the op in floating point says."""
    return node_report(ctx, _twin(ctx, node).node)


@dataclass(frozen=True)
class Twin:
    """The op in floating point, a node outside the graph; which inputs of the integer op it reads, and how many are."""

    node: ir.Node
    slots: tuple[int, ...]
    inputs: int


def _through(ctx: Context, twin: Twin, r: ir.Value, lookup: Callable[[ir.Node], Rule | None]) -> Parts:
    """Apply the rule of the op in floating point and put its parts where the integer op has these inputs."""
    found = lookup(twin.node)
    if found is None:
        raise UnsupportedOp(f"No rule for {twin.node.op_type}, which {twin.node.name!r} computes on integers.")
    parts: list[ir.Value | None] = [None] * twin.inputs
    for slot, part in zip(twin.slots, found(ctx, twin.node, r), strict=True):
        parts[slot] = part
    return parts


def _twin(ctx: Context, node: ir.Node) -> Twin:
    if node.attributes.get_int("channels_last", 0):
        raise BadModel(f"The {node.op_type} node {node.name!r} has its channels last; this is not supported.")
    op_type, slots = plain_op(node), _operands(node)
    values = [_operand(ctx, node, slot) for slot in slots]
    keep = [node.attributes[name] for name in _KEPT.get(op_type, ()) if name in node.attributes]
    return Twin(ctx.stand_in(node, op_type, values, keep), slots, len(node.inputs))


# of the ops that read a factor's scale and zero point elsewhere than right behind it: where, by slot; None for no scale
_PLACES: dict[str, dict[int, tuple[int | None, int]]] = {
    "ConvInteger": {0: (None, 2), 1: (None, 3)},
    "MatMulInteger": {0: (None, 2), 1: (None, 3)},
    "MatMulIntegerToFloat": {0: (2, 4), 1: (3, 5)},
    "DynamicQuantizeMatMul": {0: (None, 3), 1: (2, 3)},
}


def _operands(node: ir.Node) -> tuple[int, ...]:
    """Return the inputs that are tensors of numbers."""
    if node.op_type in _PLACES:
        return tuple(_PLACES[node.op_type])
    if node.op_type == "QLinearConcat":
        return tuple(range(2, len(node.inputs), 3))
    two = node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul")
    return (0, 3) if two else (0,)


def _operand(ctx: Context, node: ir.Node, slot: int) -> ir.Value | np.ndarray | None:
    """Return an activation as it is and a constant as the numbers it stands for."""
    value = node.inputs[slot]
    if value is None or ctx.graph.active(value) or ctx.constant(value) is None:
        return value
    q = ctx.need_constant(node, slot).astype(np.float32)
    scale_at, zero_at = _PLACES.get(node.op_type, {}).get(slot, (slot + 1, slot + 2))
    scale = np.ones((), np.float32) if scale_at is None else _per_filter(ctx, node, scale_at, q.ndim)
    return np.asarray((q - _per_filter(ctx, node, zero_at, q.ndim)) * scale)


def _per_filter(ctx: Context, node: ir.Node, slot: int, rank: int) -> np.ndarray:
    """Return a scale or zero point as it multiplies the constant: per filter for Conv, per column for products."""
    inputs: Sequence[ir.Value | None] = node.inputs
    if len(inputs) <= slot or inputs[slot] is None:
        return np.zeros((), np.float32)
    array = ctx.need_constant(node, slot).astype(np.float32)
    if array.ndim != 1 or array.size == 1:
        return array.reshape(array.shape if array.size > 1 else ())
    first = plain_op(node) == "Conv" or bool(node.attributes.get_int("transB", 0))
    return array.reshape([-1 if i == (0 if first else rank - 1) else 1 for i in range(rank)])
