"""Means, sums and maxima over axes."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.registry import Parts, linear, rule, vjp

from ..shared.reasons import CANCELLED
from ..shared.z_rule import without_weights, z_rule

op_facts("ReduceMean", "ReduceSum", "GlobalAveragePool", role=Role.POOL, data=Data.COMPUTES, sign=Sign.KEEPS,
         loses=CANCELLED)  # fmt: skip
op_facts("ReduceMax", "ReduceMin", "GlobalMaxPool", role=Role.POOL, data=Data.SELECTS, sign=Sign.KEEPS)


@vjp("ReduceMean", "ReduceSum", "GlobalAveragePool")
def spread(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Spread g evenly over what was reduced: g/n for a mean, g for a sum."""
    axes, sizes = reduced_axes(ctx, node)
    if node.op_type != "ReduceSum":
        g = ctx.op.Div(g, float(math.prod(sizes)))
    return [expand_back(ctx, node, g, axes)] + [None] * (len(node.inputs) - 1)


@rule("ReduceMean", "ReduceSum", "GlobalAveragePool")
def share_by_value(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the inputs' values (z-rule): X ⊙ vjp(R⊘Z), X + 1e-9 on both sides (RSP §3)."""
    return z_rule(ctx, node, r, spread)


@linear("ReduceMean", "ReduceSum", "GlobalAveragePool")
def as_linear(ctx: Context, node: ir.Node) -> LinearLayer:
    """Return the mean or sum over axes, a linear layer without weights."""
    return without_weights(ctx, node, spread)


@vjp("ReduceMax", "ReduceMin", "GlobalMaxPool")
def to_the_extreme(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """All of g goes to the extreme entry; equal ones share it."""
    op, (axes, _) = ctx.op, reduced_axes(ctx, node)
    if not axes:  # noop_with_empty_axes
        return [g] + [None] * (len(node.inputs) - 1)
    y = ctx.read(node.outputs[0])
    shape = [1 if i in axes else (-1 if d is None else d) for i, d in enumerate(ctx.dims(node.inputs[0]))]
    chosen = op.Cast(op.Equal(ctx.read(node.inputs[0]), op.Reshape(y, shape)), to=int(op.type))
    share = op.Div(chosen, op.ReduceSum(chosen, list(axes), keepdims=1))
    return [op.Mul(expand_back(ctx, node, g, axes), share)] + [None] * (len(node.inputs) - 1)


@rule("ReduceMax", "ReduceMin", "GlobalMaxPool")
def winner_takes_all(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """All of r goes to the extreme entry; equal ones share it (the z-rule of a maximum)."""
    return to_the_extreme(ctx, node, r)


def reduced_axes(ctx: Context, node: ir.Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the reduced axes and their sizes."""
    dims = ctx.dims(node.inputs[0])
    rank = len(dims)
    if node.op_type.startswith("Global"):
        axes: tuple[int, ...] = tuple(range(2, rank))
    else:
        given = ctx.attr(node, "axes")
        if given is None and len(node.inputs) > 1 and node.inputs[1] is not None:
            given = ctx.need_constant(node, 1).tolist()
        noop = ctx.attr(node, "noop_with_empty_axes", 0)
        axes = tuple(int(a) % rank for a in np.asarray(given)) if given else () if noop else tuple(range(rank))
    sizes = [dims[a] for a in axes]
    if None in sizes:
        raise BadModel(
            f"The {node.op_type} node {node.name!r} reduces over the batch or an axis of free size; "
            "choose the section behind it, or fix the sizes when exporting."
        )
    return tuple(sorted(axes)), tuple(s for s in sizes if s is not None)


def expand_back(ctx: Context, node: ir.Node, g: ir.Value, axes: tuple[int, ...]) -> ir.Value:
    """Undo a reduction's shape: g over what was reduced, [K, *shape of the input] by copies."""
    dims = ctx.dims(node.inputs[0])
    shape = [1 if i in axes else (-1 if d is None else d) for i, d in enumerate(dims)]
    g = ctx.op.Reshape(g, ctx.op.Concat(ctx.front, shape, axis=0))
    full = [1] + [d if i in axes and d is not None else 1 for i, d in enumerate(dims)]
    return ctx.op.Expand(g, full)
