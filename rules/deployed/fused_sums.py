"""Activations that ONNX Runtime fuses with the addition before them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.graph.op_facts import MICROSOFT, Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import add_all
from rsp_onnx.rulekit.registry import Parts, apply_vjp, rule, vjp

_GELUS = (f"{MICROSOFT}Gelu", f"{MICROSOFT}FastGelu", f"{MICROSOFT}BiasGelu")
op_facts(*_GELUS, role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.ANY, stands_for="Gelu")
op_facts(f"{MICROSOFT}QuickGelu", role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.ANY)


@rule(*_GELUS, f"{MICROSOFT}QuickGelu")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged; the bias takes nothing."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp(*_GELUS)
def scale_by_gelu(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale by GELU's derivative at x + bias."""
    form = [ir.AttrString("approximate", "tanh")] if node.op_type == "FastGelu" else []
    twin = ctx.stand_in(node, "Gelu", [_sum(ctx, node, node.inputs)], form)
    return [apply_vjp(ctx, twin, g)[0]] + [None] * (len(node.inputs) - 1)


@vjp(f"{MICROSOFT}QuickGelu")
def scale_by_quick_gelu(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·(s + αx·s·(1 − s)) with s = sigmoid(αx)."""
    op = ctx.op
    x = op.Mul(ctx.read(node.inputs[0]), node.attributes.get_float("alpha", 1.702))
    s = op.Sigmoid(x)
    return [op.Mul(g, op.Add(s, op.Mul(x, op.Mul(s, op.Sub(1.0, s)))))]


def _sum(ctx: Context, node: ir.Node, terms: Sequence[ir.Value | None]) -> ir.Value:
    """Return what the fused op computes of its summands before it does anything else."""
    total = add_all(ctx.op, [ctx.read(v) for v in terms if v is not None])
    if total.shape is None:
        total.shape, total.dtype = node.outputs[0].shape, ctx.op.type
    return total
