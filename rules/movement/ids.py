"""Ids made into one-hot rows: the relevance of a symbol is that of its row, as for embeddings."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import unbroadcast
from rsp_onnx.rulekit.registry import Parts, rule, vjp

from ..shared.reasons import CONSTANT_PART

op_facts("OneHot", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, one_hot=True, loses=CONSTANT_PART)
op_facts("Equal", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.UNIT, one_hot=True)
op_facts("Floor", "Ceil", "Round", role=Role.ACTIVATION, data=Data.COMPUTES, sign=Sign.ANY)


@vjp("OneHot")
def gradient_of_row(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Give a symbol Σ g·row over its one-hot row; the two values get what stands where they stand."""
    return _of_row(ctx, node, ctx.op.Mul(g, ctx.read(node.outputs[0])), g)


@rule("OneHot")
def sum_of_row(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Give a symbol the relevance of its one-hot row; values out of the image get what stands where they stand."""
    return _of_row(ctx, node, r, r)


@vjp("Equal")
def gradient_of_symbol(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Give ids that are compared with a row of symbols Σ g·row; other truth values have no gradient."""
    return relevance_of_symbol(ctx, node, ctx.op.Mul(g, ctx.op.Cast(node.outputs[0], to=int(ctx.op.type))))


@rule("Equal")
def relevance_of_symbol(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Give ids that are compared with a row of symbols the row's relevance; other truth values have none."""
    active = [v if ctx.graph.active(v) else None for v in node.inputs]
    return [None if v is None else unbroadcast(ctx, r, node.outputs[0], v) for v in active]


def _of_row(ctx: Context, node: ir.Node, r: ir.Value, of_values: ir.Value) -> Parts:
    op, (ids, depth, values) = ctx.op, cast("tuple[ir.Value, ...]", tuple(node.inputs))
    axis = cast("int", ctx.attr(node, "axis", -1)) % len(ctx.dims(node.outputs[0]))
    parts: list[ir.Value | None] = [None, None, None]
    if ctx.holds_ids(ids):
        parts[0] = op.ReduceSum(r, [axis + 1], keepdims=0)
    if ctx.graph.active(values):  # off, on
        hot = op.OneHot(ids, depth, op.constant(np.array([0.0, 1.0])), axis=axis)
        axes = list(range(1, 1 + len(ctx.dims(node.outputs[0]))))
        either = (op.Mul(of_values, op.Sub(1.0, hot)), op.Mul(of_values, hot))
        parts[2] = op.Concat(*(op.Unsqueeze(op.ReduceSum(e, axes, keepdims=0), [1]) for e in either), axis=1)
    return parts
