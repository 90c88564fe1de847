"""Ops that pick, place and rearrange entries by indices, conditions and blocks."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide, unbroadcast
from rsp_onnx.rulekit.registry import Parts, moves, rule, vjp

from ..shared.places import add_at, numbered, take_at
from ..shared.reasons import CONSTANT_PART, SET_TO_ZERO
from ..shared.z_rule import z_rule

op_facts("DepthToSpace", "SpaceToDepth", "ReverseSequence", role=Role.OTHER, data=Data.REARRANGES, sign=Sign.KEEPS)
op_facts("GatherElements", "GatherND", role=Role.OTHER, data=Data.PICKS, sign=Sign.KEEPS)
op_facts("Compress", role=Role.OTHER, data=Data.PICKS, sign=Sign.KEEPS, finds=True)
op_facts("TopK", role=Role.OTHER, data=Data.SELECTS, sign=Sign.KEEPS)
op_facts("MaxUnpool", "Trilu", role=Role.OTHER, data=Data.PADS, sign=Sign.KEEPS, loses=SET_TO_ZERO)
op_facts("CumSum", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.KEEPS, loses=SET_TO_ZERO)
op_facts("TensorScatter", role=Role.OTHER, data=Data.JOINS, sign=Sign.KEEPS, data_inputs=2, loses=CONSTANT_PART)
op_facts("Where", "ScatterND", role=Role.OTHER, data=Data.JOINS, sign=Sign.ANY, loses=CONSTANT_PART)
op_facts(
    "ScatterElements", role=Role.OTHER, data=Data.JOINS, sign=Sign.ANY, one_hot=True, loses=CONSTANT_PART,
)  # fmt: skip


@moves("DepthToSpace", "SpaceToDepth")
def rearrange_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Move blocks of space back to channels, or channels back to blocks."""
    b = cast("int", ctx.attr(node, "blocksize"))
    if node.op_type == "DepthToSpace":
        channels, height, width = ctx.sizes(node.outputs[0])
        wide = ctx.part(r, channels, height // b, b, width // b, b)
        rows_first = str(ctx.attr(node, "mode", "DCR")) == "DCR"
        moved = ctx.op.Transpose(wide, perm=[0, 1, 4, 6, 2, 3, 5] if rows_first else [0, 1, 2, 4, 6, 3, 5])
    else:
        channels, height, width = ctx.sizes(node.inputs[0])
        wide = ctx.part(r, b, b, channels, height // b, width // b)
        moved = ctx.op.Transpose(wide, perm=[0, 1, 4, 5, 2, 6, 3])
    return [ctx.part(moved, *ctx.sizes(node.inputs[0]))]


@vjp("GatherND")
def gradient_where_taken(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Add the gathered entries' gradients to where they were taken from; ids of rows get Σ g·row."""
    if _are_ids(ctx, cast("ir.Value", node.inputs[1])):
        return [None, _per_row(ctx, node, ctx.op.Mul(g, ctx.read(node.outputs[0])))]
    return add_where_taken(ctx, node, g)


@rule("GatherND")
def relevance_where_taken(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Add the gathered entries' relevance to where they were taken from; ids of rows get that of their row."""
    if _are_ids(ctx, cast("ir.Value", node.inputs[1])):
        return [None, _per_row(ctx, node, r)]
    return add_where_taken(ctx, node, r)


@moves("GatherElements", "Compress")
def add_where_taken(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Add the gathered entries' relevance to where they were taken from."""
    data, indices = node.inputs
    if data is None or not ctx.graph.active(data):
        return [None, None]
    places = ctx.op.emit(node.op_type, numbered(ctx, data), indices, **attributes(node))
    return [add_at(ctx, r, places, data), None]


@moves("MaxUnpool")
def take_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Take each entry's relevance back from where it was put; what was set to zero has none."""
    source, places, *_ = cast("tuple[ir.Value, ...]", tuple(node.inputs))
    return [take_at(ctx, r, places, source)] + [None] * (len(node.inputs) - 1)


@moves("ReverseSequence")
def reverse_again(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Reverse once more, with the targets behind the other axes: the op wants time and batch in front."""
    op, rank = ctx.op, len(ctx.dims(node.inputs[0]))
    behind = op.Transpose(r, perm=[*range(1, rank + 1), 0])
    back = op.ReverseSequence(behind, node.inputs[1], **attributes(node))
    return [op.Transpose(back, perm=[rank, *range(rank)]), None]


@moves("TensorScatter")
def part_cache_and_update(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Relevance at the written places goes to the update, the rest to the cache."""
    op, (cache, update, *at) = ctx.op, node.inputs
    assert cache is not None and update is not None
    blank = op.Expand(np.array(-1), op.Shape(cache))
    written = op.TensorScatter(blank, numbered(ctx, update), *at, **attributes(node))
    kept = op.Less(written, np.array(0))
    parts: list[ir.Value | None] = [None] * len(node.inputs)
    if ctx.graph.active(cache):
        parts[0] = op.Where(kept, r, 0.0)
    if ctx.graph.active(update):
        parts[1] = add_at(ctx, op.Where(kept, 0.0, r), op.Max(written, np.array(0)), update)
    return parts


@moves("TopK")
def to_the_chosen(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Each value's relevance goes to the entry it is; the others get none."""
    source = cast("ir.Value", node.inputs[0])
    axis = cast("int", ctx.attr(node, "axis", -1)) % len(ctx.dims(source))
    op = ctx.op
    _, indices = op.emit_many("TopK", ctx.read(source), node.inputs[1], outputs=2, **attributes(node))
    places = op.GatherElements(numbered(ctx, source), indices, axis=axis)
    return [add_at(ctx, r, places, source), None]


@vjp("ScatterElements", "ScatterND")
def take_from_places(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g at the places goes to the updates, the rest to the data; where updates are added, all of it does.

    Ids that say where constants are put get g times what stands there, as a one-hot row's do.
    """
    data, indices, updates = cast("tuple[ir.Value, ...]", tuple(node.inputs))
    adds = _adds(ctx, node)
    parts: list[ir.Value | None] = [None, None, None]
    if _are_ids(ctx, indices):
        return [None, _per_id(ctx, node, ctx.op.Mul(g, ctx.read(node.outputs[0]))), None]
    if ctx.graph.active(data):
        parts[0] = g if adds else ctx.op.Mul(g, _untouched(ctx, node, data, indices, updates))
    if ctx.graph.active(updates):
        parts[2] = _take(ctx, node, g)
    return parts


@rule("ScatterElements", "ScatterND")
def move_or_share(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Move r to the updates and the data they left; where updates are added, share it by value as Add does (RSP §3).

    Without ``reduction`` the indices are distinct, as ONNX asks. Ids that say where constants are put get what arrives
    there; ids of one place share it.
    """
    data, indices, updates = cast("tuple[ir.Value, ...]", tuple(node.inputs))
    if _are_ids(ctx, indices):
        return [None, _per_id(ctx, node, r), None]
    if not _adds(ctx, node) or len(ctx.graph.active_inputs(node)) == 1:
        return take_from_places(ctx, node, r)
    op = ctx.op
    x, u = (op.Add(op.Relu(ctx.read(v)), EPSILON) for v in (data, updates))
    z = op.emit(node.op_type, x, indices, u, **attributes(node))
    share = safe_divide(op, r, z, nonnegative=True)
    return [op.Mul(share, x), None, op.Mul(_take(ctx, node, share), u)]


@moves("Where")
def to_the_branch_taken(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Each entry's relevance goes to the branch it was taken from, none to the condition."""
    condition, first, second = cast("tuple[ir.Value, ...]", tuple(node.inputs))
    parts: list[ir.Value | None] = [None]
    for value, taken in ((first, (r, 0.0)), (second, (0.0, r))):
        part = ctx.op.Where(condition, *taken) if ctx.graph.active(value) else None
        parts.append(None if part is None else unbroadcast(ctx, part, node.outputs[0], value))
    return parts


@moves("Trilu")
def keep_the_triangle(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Keep the relevance of the triangle; what was set to zero has none."""
    return [ctx.op.emit("Trilu", r, *node.inputs[1:], **attributes(node))] + [None] * (len(node.inputs) - 1)


@vjp("CumSum")
def sum_the_other_way(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Sum g up from the other end."""
    axis = int(ctx.need_constant(node, 1)) % len(ctx.dims(node.inputs[0]))
    backwards = not ctx.attr(node, "reverse", 0)
    exclusive = cast("int", ctx.attr(node, "exclusive", 0))
    return [ctx.op.CumSum(g, np.array(axis + 1), reverse=int(backwards), exclusive=exclusive), None]


@rule("CumSum")
def share_by_value(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the values summed so far (z-rule): X ⊙ vjp(R⊘Z), X + 1e-9 on both sides (RSP §3)."""
    return z_rule(ctx, node, r, sum_the_other_way)


def _take(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    """Take from g [K, *data] what lies where the updates were put: [K, *updates]."""
    data, indices, updates = cast("tuple[ir.Value, ...]", tuple(node.inputs))
    gather = "GatherND" if node.op_type == "ScatterND" else "GatherElements"
    keep = {name: value for name, value in attributes(node).items() if name == "axis"}
    places = ctx.op.emit(gather, numbered(ctx, data), indices, **keep)
    return take_at(ctx, g, places, updates)


def _are_ids(ctx: Context, indices: ir.Value) -> bool:
    return ctx.holds_ids(indices)


def _per_row(ctx: Context, node: ir.Node, r: ir.Value) -> ir.Value:
    """Sum r [K, *ids without the last axis, *row] over the row: [K, *ids], whose last axis is 1."""
    ids = cast("ir.Value", node.inputs[1])
    rank, own = len(ctx.dims(node.outputs[0])), len(ctx.dims(ids)) - 1
    axes = list(range(1 + own, 1 + rank))
    return ctx.op.Unsqueeze(ctx.op.ReduceSum(r, axes, keepdims=0) if axes else r, [1 + own])


def _per_id(ctx: Context, node: ir.Node, r: ir.Value) -> ir.Value:
    """Take r [K, *data] at the places the ids say, divided by how many say the same: [K, *ids]."""
    op, (data, ids, _) = ctx.op, cast("tuple[ir.Value, ...]", tuple(node.inputs))
    axis = cast("int", ctx.attr(node, "axis", 0))
    zeros, ones = op.Expand(0.0, op.Shape(data)), op.Expand(1.0, op.Shape(ids))
    count = op.GatherElements(op.ScatterElements(zeros, ids, ones, axis=axis, reduction="add"), ids, axis=axis)
    return op.Div(take_at(ctx, r, op.GatherElements(numbered(ctx, data), ids, axis=axis), ids), count)


def _untouched(ctx: Context, node: ir.Node, data: ir.Value, indices: ir.Value, updates: ir.Value) -> ir.Value:
    """Return 1 where the data shows through, 0 where an update was put."""
    op = ctx.op
    ones, zeros = op.Expand(1.0, op.Shape(data)), op.Expand(0.0, op.Shape(updates))
    return op.emit(node.op_type, ones, indices, zeros, **attributes(node))


def _adds(ctx: Context, node: ir.Node) -> bool:
    """Tell whether updates are added to the data; BadModel for the other reductions."""
    reduction = str(ctx.attr(node, "reduction", "none"))
    if reduction not in ("none", "add"):
        raise BadModel(
            f"The {node.op_type} node {node.name!r} reduces by {reduction!r}; "
            "only no reduction and 'add' are supported: choose a later section behind it with --section."
        )
    return reduction == "add"
