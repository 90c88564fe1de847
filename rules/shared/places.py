"""Where entries come from at run time: a tensor that numbers its entries is moved the same way, and says."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.rulekit.context import Context


def numbered(ctx: Context, value: ir.Value) -> ir.Value:
    """Return a tensor of this shape that holds 0, 1, 2, ...: after an op has picked from it, it says where from."""
    op = ctx.op
    return op.Reshape(op.Range(np.array(0), op.Size(value), np.array(1)), op.Shape(value))


def add_at(ctx: Context, r: ir.Value, places: ir.Value, source: ir.Value) -> ir.Value:
    """Add each entry of r [K, *places] to its place: [K, *source]."""
    op = ctx.op
    rows = op.Reshape(r, op.Concat(ctx.front, [-1], axis=0))
    zeros = op.Expand(0.0, op.Concat(ctx.front, op.Reshape(op.Size(source), [1]), axis=0))
    where = op.Expand(op.Reshape(places, [1, -1]), op.Shape(rows))
    return ctx.like(op.ScatterElements(zeros, where, rows, axis=1, reduction="add"), source)


def take_at(ctx: Context, g: ir.Value, places: ir.Value, target: ir.Value) -> ir.Value:
    """Take from g [K, ...] the entries at these places: [K, *target]."""
    op = ctx.op
    rows = op.Reshape(g, op.Concat(ctx.front, [-1], axis=0))
    return ctx.like(op.Gather(rows, op.Reshape(places, [-1]), axis=1), target)
