"""A loop walked backward: a second loop that goes through the steps from the last to the first.

Every step computes its forward step again, from the states that the first loop has kept (its tape), and walks it
backward by the rules that the method uses outside. Relevance of the states goes from step to step; that of slices comes
out as slices; that of tensors the body reads from outside adds up. What a step computes of constants alone is computed
once, in front of the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import onnx_ir as ir

from rsp_onnx.rulekit.context import Context

from .course import Carried, Course, Ends
from .first_step import Walked, behind, enter, walk_first, zeros
from .inside import Inside, open_body
from .second_loop import SecondLoop

Given: TypeAlias = "list[tuple[ir.Value, ir.Value]]"  # tensors and their relevance


def back_through(ctx: Context, node: ir.Node, course: Course, arrived: Mapping[int, ir.Value], walk: Walked) -> Given:
    """Write the loop that walks a loop backward; return the relevance of what the loop reads.

    The first step stands by itself where its states are constants, such as zeros: a rule that shares relevance among
    what depends on the input would give them a part in a loop, where it must know of all steps alike.

    Parameters
    ----------
    arrived : mapping of int to onnx_ir.Value
        By output of the node, its relevance [K, *shape].
    walk : callable
        (context, relevance by tensor, nodes) → relevance by tensor: walks the body by the rules of the method.

    Returns
    -------
    list of (onnx_ir.Value, onnx_ir.Value)
        Inputs of the node and tensors its body captures, and their relevance [K, *shape].

    Raises
    ------
    UnsupportedOp
        What goes through the loop cannot carry relevance, see ``open_body``.
    """
    inside = open_body(ctx.graph, node, course)
    inner = enter(ctx, node, inside)
    states = [s for s in course.states if inside.graph.active(inside.formals[s.formal])]
    alone = any(not ctx.graph.active(node.inputs[s.slot]) for s in states)
    back = SecondLoop(ctx.op, inner.op, node, course, inside.graph.model, without_first=alone)
    start = _start(ctx, node, inside, states, arrived, back)
    ends = _collect(ctx, node, inside, states, walk(inner, start, inside.nodes), back)
    if alone:
        walk_first(ctx, node, course, arrived, ends, walk, back.steps)
    found: list[tuple[ir.Value | None, ir.Value]] = [(node.inputs[s.slot], r) for s, r in ends.states.items()]
    found += [*ends.captured.items(), *((node.inputs[part.outside], r) for part, r in ends.rows.items())]
    return [(value, r) for value, r in found if value is not None and ctx.graph.active(value)]


def _start(
    ctx: Context, node: ir.Node, inside: Inside, states: Sequence[Carried], arrived: Mapping[int, ir.Value],
    back: SecondLoop,
) -> dict[ir.Value, ir.Value]:  # fmt: skip
    """Return what relevance a step begins with: that of its states from the step behind it, that of its slices."""
    start = {}
    for state in states:
        begin = arrived[state.output] if state.output in arrived else zeros(ctx, node.inputs[state.slot])
        start[inside.results[state.result]] = back.carry(begin)
    for part in back.course.collected:
        if part.outside in arrived and inside.graph.active(inside.results[part.inside]):
            start[inside.results[part.inside]] = back.slice(arrived[part.outside], behind(ctx, node.outputs, part))
    return start


def _collect(
    ctx: Context, node: ir.Node, inside: Inside, states: Sequence[Carried], at: Mapping[ir.Value, ir.Value],
    back: SecondLoop,
) -> Ends:  # fmt: skip
    """Say what comes out of a step, and write the loop."""
    for index, state in enumerate(states):
        back.hand_on(index, at.get(inside.formals[state.formal]))
    captured = [value for value, formal in inside.captured.items() if formal in at]
    for value in captured:
        back.add_up(zeros(ctx, value), at[inside.captured[value]])
    rows = [part for part in back.course.scanned if inside.formals[part.inside] in at]
    for part in rows:
        back.put_out(at[inside.formals[part.inside]], behind(ctx, node.inputs, part))
    for value, formal in inside.captured.items():
        formal.replace_all_uses_with(value)
    results = list(back.write(inside.formals))
    ends, sums = results[: len(states)], results[len(states) : len(states) + len(captured)]
    cut = results[len(states) + len(captured) :]
    return Ends(*(dict(zip(*p, strict=True)) for p in ((states, ends), (captured, sums), (rows, cut))))
