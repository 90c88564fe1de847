"""Elementwise activations: relevance passes unchanged (RSP, rsp.md §3); gradients are g·f'(x)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import Data, Known, Role, Sign, facts_of, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import unbroadcast
from rsp_onnx.rulekit.registry import Parts, rule, vjp


def _of_clip(known: Known, node: ir.Node) -> Sign:
    low = known.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return Sign.NONNEGATIVE if low is not None and bool((low >= 0).all()) else Sign.ANY


def _of_log(_: Known, node: ir.Node) -> Sign:
    """Tell of the logarithm of a probability, such as a log-sigmoid written out."""
    source = None if node.inputs[0] is None else node.inputs[0].producer()
    return Sign.NONPOSITIVE if source is not None and facts_of(source).sign is Sign.UNIT else Sign.ANY


op_facts("Relu", "Softplus", role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.NONNEGATIVE)
op_facts("Sigmoid", "HardSigmoid", role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.UNIT, score_kind="sigmoid")
op_facts("Softmax", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.UNIT, score_kind="softmax")
op_facts("LogSoftmax", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.NONPOSITIVE, score_kind="log-softmax")
op_facts(
    "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Tanh", "Softsign", "HardSwish", "Mish", "Gelu", "ThresholdedRelu",
    "Erf", "Shrink", "Swish",
    role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.ANY,
)  # fmt: skip
op_facts("Clip", role=Role.ACTIVATION, data=Data.COMPUTES, sign=_of_clip)
op_facts("Exp", "Abs", "Cosh", "Acos", "Acosh", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.NONNEGATIVE)
op_facts("Sqrt", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.NONNEGATIVE, deviation=True)
op_facts("Log", role=Role.OTHER, data=Data.COMPUTES, sign=_of_log)
op_facts(
    "Sin", "Cos", "Tan", "Asin", "Atan", "Sinh", "Asinh", "Atanh",
    role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY,
)  # fmt: skip


Derivative: TypeAlias = "Callable[[Emitter, ir.Value, ir.Value, Callable[[str, float], float]], ir.Value]"


@rule(
    "Softmax",
    "LogSoftmax",
    "Relu", "LeakyRelu", "PRelu", "Clip", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus",
    "Softsign", "HardSwish", "Mish", "Gelu", "ThresholdedRelu", "Erf", "Exp", "Log", "Sqrt", "Abs",
    "Shrink", "Swish", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
)  # fmt: skip
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged through an elementwise activation. r and x: same shape."""
    return [r] + [None] * (len(node.inputs) - 1)


def _as_number(op: Emitter, truth: ir.Value) -> ir.Value:
    return op.Cast(truth, to=int(op.type))


def _selu(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    alpha, gamma = a("alpha", 1.6732632423543772), a("gamma", 1.0507009873554805)
    return op.Where(op.Greater(x, 0.0), gamma, op.Mul(op.Exp(op.Min(x, 0.0)), alpha * gamma))


def _hard_sigmoid(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    inside = op.And(op.Greater(y, 0.0), op.Less(y, 1.0))
    return op.Mul(_as_number(op, inside), a("alpha", 0.2))


def _softsign(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    wide = op.Add(op.Abs(x), 1.0)
    return op.Div(1.0, op.Mul(wide, wide))


def _hard_swish(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    middle = op.Add(op.Div(x, 3.0), 0.5)
    return op.Where(op.Less(x, -3.0), 0.0, op.Where(op.Greater(x, 3.0), 1.0, middle))


def _mish(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    t = op.Tanh(op.Softplus(x))
    return op.Add(t, op.Mul(op.Mul(x, op.Sigmoid(x)), op.Sub(1.0, op.Mul(t, t))))


def _swish(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    gate = op.Sigmoid(op.Mul(x, a("alpha", 1.0)))
    return op.Add(gate, op.Mul(op.Mul(y, op.Sub(1.0, gate)), a("alpha", 1.0)))


def _asin(op: Emitter, x: ir.Value, y: ir.Value, a: Callable[[str, float], float]) -> ir.Value:
    return op.Div(1.0, op.Sqrt(op.Sub(1.0, op.Mul(x, x))))


_DERIVATIVES: dict[str, Derivative] = {
    "Relu": lambda op, x, y, a: _as_number(op, op.Greater(y, 0.0)),
    "LeakyRelu": lambda op, x, y, a: op.Where(op.Less(x, 0.0), a("alpha", 0.01), 1.0),
    "Elu": lambda op, x, y, a: op.Where(op.Less(x, 0.0), op.Mul(op.Exp(op.Min(x, 0.0)), a("alpha", 1.0)), 1.0),
    "Selu": _selu,
    "Celu": lambda op, x, y, a: op.Where(op.Less(x, 0.0), op.Exp(op.Div(op.Min(x, 0.0), a("alpha", 1.0))), 1.0),
    "Sigmoid": lambda op, x, y, a: op.Mul(y, op.Sub(1.0, y)),
    "HardSigmoid": _hard_sigmoid,
    "Tanh": lambda op, x, y, a: op.Sub(1.0, op.Mul(y, y)),
    "Softplus": lambda op, x, y, a: op.Sigmoid(x),
    "Softsign": _softsign,
    "HardSwish": _hard_swish,
    "Mish": _mish,
    "ThresholdedRelu": lambda op, x, y, a: _as_number(op, op.Greater(x, a("alpha", 1.0))),
    "Erf": lambda op, x, y, a: op.Mul(op.Exp(op.Neg(op.Mul(x, x))), 2.0 / math.sqrt(math.pi)),
    # behind 1/(1 + eˣ) an infinite y meets a gradient of 0
    "Exp": lambda op, x, y, a: op.Min(y, float(np.finfo(op.dtype).max)),
    "Log": lambda op, x, y, a: op.Reciprocal(x),
    "Sqrt": lambda op, x, y, a: op.Div(0.5, y),
    "Abs": lambda op, x, y, a: op.Sign(x),
    "Shrink": lambda op, x, y, a: _as_number(op, op.Greater(op.Abs(x), a("lambd", 0.5))),
    "Swish": _swish,
    "Sin": lambda op, x, y, a: op.Cos(x),
    "Cos": lambda op, x, y, a: op.Neg(op.Sin(x)),
    "Tan": lambda op, x, y, a: op.Add(op.Mul(y, y), 1.0),
    "Asin": lambda op, x, y, a: op.Div(1.0, op.Sqrt(op.Sub(1.0, op.Mul(x, x)))),
    "Acos": lambda op, x, y, a: op.Neg(_asin(op, x, y, a)),
    "Atan": lambda op, x, y, a: op.Div(1.0, op.Add(op.Mul(x, x), 1.0)),
    "Sinh": lambda op, x, y, a: op.Mul(op.Add(op.Exp(x), op.Exp(op.Neg(x))), 0.5),
    "Cosh": lambda op, x, y, a: op.Mul(op.Sub(op.Exp(x), op.Exp(op.Neg(x))), 0.5),
    "Asinh": lambda op, x, y, a: op.Div(1.0, op.Sqrt(op.Add(op.Mul(x, x), 1.0))),
    "Acosh": lambda op, x, y, a: op.Div(1.0, op.Sqrt(op.Sub(op.Mul(x, x), 1.0))),
    "Atanh": lambda op, x, y, a: op.Div(1.0, op.Sub(1.0, op.Mul(x, x))),
}
_OF_OUTPUT_ALONE = {"Relu", "Sigmoid", "HardSigmoid", "Tanh", "Exp", "Sqrt", "Tan"}  # the input need not be kept


@vjp(*_DERIVATIVES)
def scale_by_derivative(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale by the derivative: g·f'(x). g and x: same shape."""

    def number(name: str, default: float) -> float:
        return float(np.float32(cast("float", ctx.attr(node, name, default))))  # as the file would hold it

    y = ctx.read(node.outputs[0])
    x = y if node.op_type in _OF_OUTPUT_ALONE else ctx.read(node.inputs[0])
    return [ctx.op.Mul(g, _DERIVATIVES[node.op_type](ctx.op, x, y, number))]


@vjp("Clip")
def stop_at_bounds(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Let the gradient through strictly between the bounds (at a bound it is 0, as for ReLU)."""
    op, y = ctx.op, ctx.read(node.outputs[0])
    for slot, compare in ((1, op.Greater), (2, op.Less)):
        bound = node.inputs[slot] if len(node.inputs) > slot else None
        if bound is not None:
            g = op.Mul(g, _as_number(op, compare(y, ctx.read(bound))))
    return [g] + [None] * (len(node.inputs) - 1)


@vjp("PRelu")
def scale_negative_side(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale the gradient by the slope where x < 0; a slope computed from the image gets its own gradient."""
    op, x = ctx.op, ctx.read(node.inputs[0])
    slope = node.inputs[1]
    assert slope is not None
    below = op.Less(x, 0.0)
    gx = op.Mul(g, op.Where(below, ctx.read(slope), 1.0))
    if not ctx.graph.active(slope):
        return [gx, None]
    return [gx, unbroadcast(ctx, op.Mul(g, op.Where(below, x, 0.0)), node.outputs[0], slope)]


@vjp("Gelu")
def scale_by_gelu_derivative(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale by GELU's derivative: Φ(x) + x·φ(x), or the derivative of the tanh form."""
    op, x = ctx.op, ctx.read(node.inputs[0])
    if ctx.attr(node, "approximate", "none") == "tanh":
        c = math.sqrt(2.0 / math.pi)
        inner = op.Mul(op.Add(x, op.Mul(op.Mul(op.Mul(x, x), x), 0.044715)), c)
        t = op.Tanh(inner)
        slope = op.Mul(op.Add(op.Mul(op.Mul(x, x), 3 * 0.044715), 1.0), c)
        tail = op.Mul(op.Mul(op.Mul(x, 0.5), op.Sub(1.0, op.Mul(t, t))), slope)
        return [op.Mul(g, op.Add(op.Mul(op.Add(t, 1.0), 0.5), tail))]
    cumulative = op.Mul(op.Add(op.Erf(op.Mul(x, math.sqrt(0.5))), 1.0), 0.5)
    density = op.Mul(op.Exp(op.Mul(op.Mul(x, x), -0.5)), 1.0 / math.sqrt(2.0 * math.pi))
    return [op.Mul(g, op.Add(cumulative, op.Mul(x, density)))]


@vjp("Softmax")
def subtract_expected(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """y ⊙ (g − Σ g⊙y) along the softmax axis."""
    op, y = ctx.op, ctx.read(node.outputs[0])
    axis = _axis(ctx, node)
    return [op.Mul(y, op.Sub(g, op.ReduceSum(op.Mul(g, y), [axis], keepdims=1)))]


@vjp("LogSoftmax")
def subtract_total(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g − exp(y) ⊙ Σ g along the softmax axis."""
    op, y = ctx.op, ctx.read(node.outputs[0])
    return [op.Sub(g, op.Mul(op.Exp(y), op.ReduceSum(g, [_axis(ctx, node)], keepdims=1)))]


def _axis(ctx: Context, node: ir.Node) -> int:
    rank = len(ctx.dims(node.outputs[0]))
    return int(cast("int", ctx.attr(node, "axis", -1))) % rank + 1
