"""Sums, products and gates."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, add_all, unbroadcast
from rsp_onnx.rulekit.registry import Parts, apply_vjp, frozen, rule, vjp

from ..shared.gates import is_deviation, is_gate, is_statistic

op_facts("Add", "Sum", "Mean", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.KEEPS, data_inputs=None,
         affine=True, sums=True)  # fmt: skip
op_facts("Sub", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.ANY, affine=True)
op_facts("Mul", "Div", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.KEEPS_NONNEGATIVE, data_inputs=None,
         affine=True)  # fmt: skip
op_facts("Neg", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.TURNS, affine=True)
op_facts("Reciprocal", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.KEEPS)
op_facts("Pow", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.KEEPS_NONNEGATIVE, deviation=True)
op_facts("Mod", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.ANY)
op_facts("Max", "Min", role=Role.ARITHMETIC, data=Data.SELECTS, sign=Sign.KEEPS, data_inputs=None)


@rule("Add", "Sum", "Sub", "Max", "Min", "Mean")
def share_among_branches(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r among the branches as x_i/Σx_i, x_i = [±X_i]₊ + 1e-9; a constant summand takes nothing (RSP §3)."""
    active = [v for v in ctx.graph.active_inputs(node) if not is_statistic(ctx, node, v)]
    if len(active) == 1:
        return [_narrow(ctx, r, node, v) if v is active[0] else None for v in node.inputs]
    op = ctx.op
    sizes = []
    for slot, value in enumerate(node.inputs):
        x = ctx.read(value)
        if node.op_type == "Sub" and slot == 1:
            x = op.Neg(x)
        sizes.append(op.Add(op.Relu(x), EPSILON) if ctx.graph.active(value) else None)
    share = op.Div(r, add_all(op, [x for x in sizes if x is not None]))
    return [
        None if x is None else _narrow(ctx, op.Mul(x, share), node, v) for x, v in zip(sizes, node.inputs, strict=True)
    ]


@vjp("Add", "Sum")
def copy_to_summands(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Every summand gets g, summed over the axes along which it was broadcast."""
    return [_narrow(ctx, g, node, v) if ctx.graph.active(v) else None for v in node.inputs]


@vjp("Sub")
def copy_with_sign(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g for the first, −g for the second."""
    signed = (g, ctx.op.Neg(g) if ctx.graph.active(node.inputs[1]) else g)
    return [_narrow(ctx, s, node, v) if ctx.graph.active(v) else None for s, v in zip(signed, node.inputs, strict=True)]


@vjp("Mean")
def spread_over_operands(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Every operand gets g/n."""
    g = ctx.op.Div(g, float(len(node.inputs)))
    return [_narrow(ctx, g, node, v) if ctx.graph.active(v) else None for v in node.inputs]


@vjp("Max", "Min")
def to_the_chosen(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g goes to the operands equal to the result; equal ones share it."""
    op, y = ctx.op, ctx.read(node.outputs[0])
    chosen = [op.Cast(op.Equal(ctx.read(v), y), to=int(op.type)) for v in node.inputs]
    g = op.Div(g, add_all(op, chosen))
    return [
        _narrow(ctx, op.Mul(g, c), node, v) if ctx.graph.active(v) else None
        for c, v in zip(chosen, node.inputs, strict=True)
    ]


@rule("Mul")
def follow_the_signal(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """All relevance follows the signal, none the gate; a constant factor changes nothing (RSP §3, beyond the paper)."""
    a, b = node.inputs
    assert a is not None and b is not None
    active = ctx.graph.active_inputs(node)
    if len(active) == 2 and a is not b:
        gates = [ctx.graph.computed_from(a, b), ctx.graph.computed_from(b, a)]
        if gates[0] == gates[1]:
            gates = [is_gate(ctx, a, b), is_gate(ctx, b, a)]
        if gates[0] == gates[1]:  # neither or both: a product of two signals
            half = ctx.op.Mul(r, 0.5)
            return [_narrow(ctx, half, node, a), _narrow(ctx, half, node, b)]
        return [None, _narrow(ctx, r, node, b)] if gates[0] else [_narrow(ctx, r, node, a), None]
    return [
        _narrow(ctx, r, node, v) if v is active[0] and i == node.inputs.index(v) else None for i, v in enumerate((a, b))
    ]


@rule("Div")
def follow_the_numerator(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """All relevance goes to the numerator; a divisor is a statistic."""
    a, b = node.inputs
    assert a is not None
    if not ctx.graph.active(a):
        assert b is not None
        return [None, _narrow(ctx, r, node, b)]
    return [_narrow(ctx, r, node, a), None]


@rule("Neg", "Reciprocal", "Pow")
def keep(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged to the base."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("Mul")
def scale_by_other(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Each factor gets g times the other."""
    a, b = node.inputs
    return [
        _narrow(ctx, ctx.op.Mul(g, ctx.read(other)), node, mine) if ctx.graph.active(mine) else None
        for mine, other in ((a, b), (b, a))
    ]


@vjp("Div")
def quotient(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g/b for the numerator, −g·a/b² for the divisor."""
    op, (a, b) = ctx.op, node.inputs
    over = op.Div(g, ctx.read(b))
    ga = _narrow(ctx, over, node, a) if ctx.graph.active(a) else None
    if not ctx.graph.active(b):
        return [ga, None]
    return [ga, _narrow(ctx, op.Neg(op.Mul(over, ctx.read(node.outputs[0]))), node, b)]


@vjp("Neg")
def negate(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """−g."""
    return [ctx.op.Neg(g)]


@vjp("Reciprocal")
def reciprocal(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """−g·y²."""
    y = ctx.read(node.outputs[0])
    return [ctx.op.Neg(ctx.op.Mul(g, ctx.op.Mul(y, y)))]


@vjp("Pow")
def power(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·p·x^(p−1) for a constant exponent p."""
    op, x, p = ctx.op, ctx.read(node.inputs[0]), np.asarray(ctx.need_constant(node, 1), dtype=np.float64)
    return [_narrow(ctx, op.Mul(g, op.Mul(op.Pow(x, p - 1.0), p)), node, node.inputs[0]), None]


@rule("Mod")
def follow_the_dividend(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """All relevance goes to the dividend, as in a division."""
    return follow_the_numerator(ctx, node, r)


@vjp("Mod")
def remainder(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g for the dividend, g·(y − a)/b for the divisor, −g times how often it goes into the dividend."""
    op, (a, b) = ctx.op, node.inputs
    ga = _narrow(ctx, g, node, a) if ctx.graph.active(a) else None
    if not ctx.graph.active(b):
        return [ga, None]
    times = op.Round(op.Div(op.Sub(ctx.read(node.outputs[0]), ctx.read(a)), ctx.read(b)))
    return [ga, _narrow(ctx, op.Mul(g, times), node, b)]


def _narrow(ctx: Context, r: ir.Value, node: ir.Node, source: ir.Value | None) -> ir.Value:
    assert source is not None
    return unbroadcast(ctx, r, node.outputs[0], source)


@frozen("Mul", "Div")
def hold_deviations(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """As the gradient, but none for the deviation of a normalisation written out."""
    parts = zip(apply_vjp(ctx, node, g), node.inputs, strict=True)
    return [None if v is not None and is_deviation(ctx, node, v) else part for part, v in parts]
