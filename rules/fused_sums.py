"""Activations and normalisations that ONNX Runtime fuses with the addition before them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.context import Context
from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph import plain_op
from rsp_onnx.numerics import EPSILON, add_all, unbroadcast
from rsp_onnx.registry import Parts, find_vjp, rule, statistics, vjp

MS = "com.microsoft::"
_GELUS = (f"{MS}Gelu", f"{MS}FastGelu", f"{MS}BiasGelu")
_SKIP = (f"{MS}SkipLayerNormalization", f"{MS}SkipSimplifiedLayerNormalization")
for _op in _SKIP:
    statistics(_op, 1, 2, reason="mean and deviation are statistics")


@rule(*_GELUS, f"{MS}QuickGelu")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged; the bias takes nothing."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp(*_GELUS)
def scale_by_gelu(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Scale by GELU's derivative at x + bias."""
    form = [ir.AttrString("approximate", "tanh")] if node.op_type == "FastGelu" else []
    back = _back_through(ctx, node, "Gelu", [_sum(ctx, node, node.inputs)], form, g)
    return [back] + [None] * (len(node.inputs) - 1)


@vjp(f"{MS}QuickGelu")
def scale_by_quick_gelu(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·(s + αx·s·(1 − s)) with s = sigmoid(αx)."""
    op = ctx.op
    x = op.Mul(ctx.read(node.inputs[0]), node.attributes.get_float("alpha", 1.702))
    s = op.Sigmoid(x)
    return [op.Mul(g, op.Add(s, op.Mul(x, op.Mul(s, op.Sub(1.0, s)))))]


@rule(*_SKIP)
def share_among_branches(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass through the normalisation unchanged, then share among the branches as an Add does (RSP §3)."""
    op, branches = ctx.op, _branches(ctx, node)
    parts: list[ir.Value | None] = [None] * len(node.inputs)
    sizes = {i: op.Add(op.Relu(ctx.read(node.inputs[i])), EPSILON) for i in branches}
    share = op.Div(r, add_all(op, list(sizes.values())))
    for i, size in sizes.items():
        parts[i] = _narrow(ctx, op.Mul(size, share), node, i)
    return parts


@vjp(*_SKIP)
def normalise_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Take the gradient of the normalisation at the sum; every branch gets all of it."""
    if ctx.output == 0:
        bias = 4 if node.op_type == "SkipLayerNormalization" else 3
        summed = _sum(ctx, node, [*node.inputs[:2], *node.inputs[bias : bias + 1]])
        keep = [a for name, a in node.attributes.items() if name == "epsilon"]
        if "epsilon" not in node.attributes:
            keep = [ir.AttrFloat32("epsilon", 1e-12)]
        g = _back_through(ctx, node, plain_op(node), [summed, node.inputs[2]], keep, g)
    branches = _branches(ctx, node)
    return [_narrow(ctx, g, node, i) if i in branches else None for i in range(len(node.inputs))]


def _branches(ctx: Context, node: ir.Node) -> list[int]:
    return [i for i in (0, 1) if ctx.graph.active(node.inputs[i])]


def _narrow(ctx: Context, r: ir.Value, node: ir.Node, slot: int) -> ir.Value:
    source = node.inputs[slot]
    assert source is not None
    return unbroadcast(ctx, r, node.outputs[0], source)


def _sum(ctx: Context, node: ir.Node, terms: Sequence[ir.Value | None]) -> ir.Value:
    """Return what the fused op computes of its summands before it does anything else."""
    total = add_all(ctx.op, [ctx.read(v) for v in terms if v is not None])
    if total.shape is None:
        total.shape, total.dtype = node.outputs[0].shape, ctx.op.type
    return total


def _back_through(
    ctx: Context, node: ir.Node, op_type: str, inputs: list[ir.Value | None], keep: list[ir.Attr], g: ir.Value
) -> ir.Value:
    twin = ctx.stand_in(node, op_type, inputs, keep)
    found = find_vjp(twin)
    back = None if found is None else found(ctx, twin, g)[0]
    if back is None:
        raise UnsupportedOp(f"No gradient for {op_type}, which the {node.op_type} node {node.name!r} computes.")
    return back
