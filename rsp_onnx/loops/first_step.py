"""The first step of a loop walked by itself, in front of the second loop's last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.bodies import named
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import remove_unread
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.float_views import Views

from .course import Course, Ends, Sliced
from .inside import Inside, open_body

Walked: TypeAlias = "Callable[[Context, Mapping[ir.Value, ir.Value], Sequence[ir.Node]], Mapping[ir.Value, ir.Value]]"


def walk_first(
    ctx: Context, node: ir.Node, course: Course, arrived: Mapping[int, ir.Value], ends: Ends, walk: Walked,
    steps: ir.Value | None,
) -> None:  # fmt: skip
    """Walk the first step behind the second loop, and add what comes of it to what the loop returned.

    steps: how many there are, where there may be none.
    """
    op, inside = ctx.op, open_body(ctx.graph, node, course, first=True)
    inner, active = enter(ctx, node, inside), inside.graph.active
    results = {s: inside.results[s.result] for s in ends.states}
    start = {results[s]: r for s, r in ends.states.items() if active(results[s])}
    for part in course.collected:
        if part.outside in arrived and active(inside.results[part.inside]):
            start[inside.results[part.inside]] = _first(op, arrived[part.outside], behind(ctx, node.outputs, part))
    at = walk(inner, start, inside.nodes)
    _move_out(ctx, node, course, inside, at)
    some = None if steps is None else op.Greater(steps, np.array(0))
    for state, r in ends.states.items():
        found = at.get(inside.formals[state.formal])
        here = zeros(ctx, node.inputs[state.slot]) if found is None else found
        ends.states[state] = here if some is None else op.Where(some, here, r)
    for value, formal in inside.captured.items():
        if formal in at:
            part_here = at[formal] if some is None else op.Where(some, at[formal], 0.0)
            ends.captured[value] = op.Add(ends.captured[value], part_here) if value in ends.captured else part_here
    for cut, r in ends.rows.items():
        axis, found = behind(ctx, node.inputs, cut).axis, at.get(inside.formals[cut.inside])
        row = op.Unsqueeze(zeros(ctx, _slice(op, node, cut)) if found is None else found, [axis])
        ends.rows[cut] = op.Concat(*((r, row) if cut.turned else (row, r)), axis=axis)


def enter(ctx: Context, node: ir.Node, inside: Inside) -> Context:
    """Return what rules write with inside a body, whose names are then those of nothing else in the whole model."""
    body, prefix = inside.graph.model.graph, ctx.op.fresh(node.op_type)
    initializers = list(body.initializers.values())
    for item in (*body.inputs, *named(list(body))):
        item.name = f"{prefix}/{item.name}" if item.name else item.name
    for value in initializers:
        del body.initializers[str(value.name)]
        value.name = f"{prefix}/{value.name}"
        body.register_initializer(value)
    op = Emitter(body, ctx.op.dtype, word=f"{prefix}/back")
    return replace(ctx, op=op, graph=inside.graph, views=Views(op, inside.graph), output=0, end=None)


def behind(ctx: Context, values: Sequence[ir.Value | None], part: Sliced) -> Sliced:
    """Return how relevance [K, *shape] is cut, for the node's inputs or outputs that a part is cut from."""
    return replace(part, axis=part.axis % len(ctx.dims(values[part.outside])) + 1)


def zeros(ctx: Context, value: ir.Value | None) -> ir.Value:
    """Return no relevance for a tensor, [K, *shape]."""
    assert value is not None
    return ctx.op.Expand(0.0, ctx.op.Concat(ctx.front, ctx.op.Shape(value), axis=0))


def _move_out(ctx: Context, node: ir.Node, course: Course, inside: Inside, at: Mapping[ir.Value, ir.Value]) -> None:
    """Move the step's nodes to where the loop stands, on what it is given there."""
    op, model = ctx.op, inside.graph.model
    body = model.graph
    body.outputs.clear()
    body.outputs.extend([v for v in at.values() if v.producer() is not None and v.graph is body])
    remove_unread(model)
    given: dict[int, ir.Value | None] = {s.formal: node.inputs[s.slot] for s in course.states}
    given |= {part.inside: _slice(op, node, part) for part in course.scanned if inside.formals[part.inside].uses()}
    given |= dict(zip(course.own, (op.constant(np.array(0)), op.constant(np.array(True))), strict=False))
    for place, value in given.items():
        if value is not None:
            inside.formals[place].replace_all_uses_with(value)
    for value, formal in inside.captured.items():
        formal.replace_all_uses_with(value)
    nodes = list(body)
    body.outputs.clear()
    body.remove(nodes)
    op.graph.extend(nodes)
    for value in list(body.initializers.values()):
        del body.initializers[str(value.name)]
        op.graph.register_initializer(value)


def _slice(op: Emitter, node: ir.Node, part: Sliced) -> ir.Value:
    source = node.inputs[part.outside]
    assert source is not None
    return _first(op, source, part)


def _first(op: Emitter, tensor: ir.Value, how: Sliced) -> ir.Value:
    """Return the slice of the first step."""
    return op.Gather(tensor, np.array(-1 if how.turned else 0), axis=how.axis)
