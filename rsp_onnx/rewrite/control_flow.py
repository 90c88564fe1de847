"""If, Loop and Scan written out: the branch that is taken, the steps that are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute

from .branches import join_branches
from .recurrent import split_steps
from .registry import Writing, expands

_MOST_STEPS = 10_000  # of a loop; more would be no model to explain but one that does not end
_ON_IMAGE = "computed from the input; choose a section behind it with --section, or export the model for a fixed size"


@expands("If", how="replaced by the branch taken; where the input decides, by both branches and a choice at run time")
def take_branch(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Put the branch that is taken in the place of an If, or both where the input decides."""
    taken = expansion.constant(node.inputs[0])
    if taken is None:
        return join_branches(expansion, node)
    branch = node.attributes["then_branch" if taken.reshape(-1)[0] else "else_branch"].as_graph()
    return expansion.inline(branch, [], str(node.name))


@expands("Loop", how="unrolled, where the number of steps is known before run time")
def unroll_loop(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Unroll while trip count and condition are known from step to step."""
    bounds = (*node.inputs, None, None)[:2]
    most, going = (expansion.constant(v) for v in bounds)
    for value, known in zip(bounds, (most, going), strict=True):
        if value is not None and known is None:
            raise CannotExpandError(f"its number of steps depends on {_name(value)}, which is {_ON_IMAGE}")
    body, state = node.attributes["body"].as_graph(), cast("list[ir.Value]", list(node.inputs[2:]))
    limit = _MOST_STEPS + 1 if most is None else int(most.reshape(-1)[0])
    goes = going is None or bool(going.reshape(-1)[0])
    rows: list[list[ir.Value]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
    op, step = expansion.emitter(None), 0
    while goes and step < limit:
        if step == _MOST_STEPS:
            raise CannotExpandError(f"it takes more than {_MOST_STEPS} steps")
        start = [_scalar(expansion, np.int64(step)), _scalar(expansion, np.bool_(True))]
        condition, *results = expansion.inline(body, [*start, *state], f"{node.name}/{step}")
        state, step = results[: len(state)], step + 1
        for row, result in zip(rows, results[len(state) :], strict=True):
            row.append(op.Unsqueeze(result, [0]))
        if bounds[1] is not None or bounds[0] is None:
            goes = _goes_on(expansion, condition)
    return [*state, *(_joined(op, row, 0) for row in rows)]


def _goes_on(expansion: Writing, condition: ir.Value) -> bool:
    known = expansion.constant(condition)
    if known is None:
        raise CannotExpandError(f"whether it goes on depends on {_name(condition)}, which is {_ON_IMAGE}")
    return bool(known.reshape(-1)[0])


@expands("Scan", how="unrolled, over a known length")
def unroll_scan(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Unroll over the known length of the scanned inputs."""
    body, count = node.attributes["body"].as_graph(), cast("int", attribute(node, "num_scan_inputs"))
    inputs = cast("list[ir.Value]", list(node.inputs))
    state, scanned = inputs[:-count], inputs[-count:]
    per_input = [_numbers(node, f"scan_input_{key}", count) for key in ("axes", "directions")]
    steps = [_cut(expansion, *row) for row in zip(scanned, *per_input, strict=True)]
    rows: list[list[ir.Value]] = [[] for _ in range(len(body.outputs) - len(state))]
    for index, here in enumerate(zip(*steps, strict=True)):
        results = expansion.inline(body, [*state, *here], f"{node.name}/{index}")
        state = results[: len(state)]
        for row, result in zip(rows, results[len(state) :], strict=True):
            row.append(result)
    op, stacked = expansion.emitter(None), []
    per_output = [_numbers(node, f"scan_output_{key}", len(rows)) for key in ("axes", "directions")]
    for row, axis, backward in zip(rows, *per_output, strict=True):
        wide = [op.Unsqueeze(v, [axis]) for v in row]
        stacked.append(_joined(op, wide[::-1] if backward else wide, axis))
    return [*state, *stacked]


def _cut(expansion: Writing, value: ir.Value, axis: int, backward: int) -> list[ir.Value]:
    size = None if value.shape is None else value.shape[axis]
    if not isinstance(size, int):
        raise CannotExpandError(
            f"the length of {_name(value)} is not known; give it with input_shapes, or export it fixed"
        )
    op = expansion.emitter(None)
    steps = [op.Squeeze(v, [axis]) for v in split_steps(op, value, size, axis)]
    return steps[::-1] if backward else steps


def _numbers(node: ir.Node, name: str, count: int) -> list[int]:
    return cast("list[int]", attribute(node, name)) or [0] * count


def _joined(op: Emitter, row: Sequence[ir.Value], axis: int) -> ir.Value:
    if not row:
        raise CannotExpandError("it takes no step at all, and what it collects is empty")
    return op.Concat(*row, axis=axis)


def _scalar(expansion: Writing, number: np.generic) -> ir.Value:
    return expansion.emitter(None).constant(np.asarray(number))


def _name(value: ir.Value | None) -> str:
    return repr(value.name if value is not None else "")
