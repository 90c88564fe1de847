"""Loop and Scan unrolled where their steps are few; those whose steps are many, or counted at run time, stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute, subgraphs
from rsp_onnx.graph.op_facts import facts_of
from rsp_onnx.graph.shapes import dims

from .recurrent import split_steps
from .registry import KEPT, MOST_UNROLLED, Writing, expands

_ADVICE = "choose a section behind it with --section, or export the model for a fixed number of steps"
_MOST_STEPS = 10_000  # of a loop; more would be no model to explain but one that does not end


@expands("Loop", how="unrolled, where it takes few steps, known before run time; others are walked as loops")
def unroll_loop(expansion: Writing, node: ir.Node) -> Sequence[ir.Value] | None:
    """Unroll while trip count and condition are known from step to step."""
    most, going = (expansion.constant(v) for v in node.inputs[:2])
    given = zip(node.inputs[:2], (most, going), ("its number of steps", "whether it begins"), strict=True)
    unknown = next((f"{what} depends on {_name(v)}" for v, known, what in given if v is not None and known is None), "")
    if not unknown:
        limit = _MOST_STEPS + 1 if most is None else int(most.reshape(-1)[0])
        goes = going is None or bool(going.reshape(-1)[0])
        if limit <= _MOST_STEPS and _stays(node, limit if goes else 0, node.inputs[2:]):
            return None
        try:
            return _unrolled(expansion, node, limit, goes)
        except _UnknownError as error:
            unknown = str(error)
    _stay_open(node, len(node.inputs) - 2, unknown)
    return None


class _UnknownError(Exception):
    """Whether a loop goes on is not known before run time."""


def _unrolled(expansion: Writing, node: ir.Node, limit: int, goes: bool) -> Sequence[ir.Value]:
    body, state = node.attributes["body"].as_graph(), cast("list[ir.Value]", list(node.inputs[2:]))
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
        if node.inputs[1] is not None or node.inputs[0] is None:
            goes = _goes_on(expansion, condition)
    return [*state, *(_joined(op, row, 0) for row in rows)]


def _goes_on(expansion: Writing, condition: ir.Value) -> bool:
    known = expansion.constant(condition)
    if known is None:
        raise _UnknownError(f"whether it goes on depends on {_name(condition)}")
    return bool(known.reshape(-1)[0])


def _stays(node: ir.Node, steps: int, states: Sequence[ir.Value | None]) -> bool:
    """Tell whether a loop of known length stays one, and note it: it is long, and its steps are all alike."""
    if steps > MOST_UNROLLED and _all_alike(node, states):
        node.meta[KEPT] = True
    return KEPT in node.meta


@expands("Scan", how="unrolled, over a known length that is short; others are walked as loops")
def unroll_scan(expansion: Writing, node: ir.Node) -> Sequence[ir.Value] | None:
    """Unroll over the known length of the scanned inputs."""
    body, count = node.attributes["body"].as_graph(), cast("int", attribute(node, "num_scan_inputs"))
    inputs = cast("list[ir.Value]", list(node.inputs))
    state, scanned = inputs[:-count], inputs[-count:]
    per_input = [_numbers(node, f"scan_input_{key}", count) for key in ("axes", "directions")]
    if _stays(node, _length(scanned[0], per_input[0][0]), state):
        return None
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


def _length(value: ir.Value, axis: int) -> int:
    size = None if value.shape is None else value.shape[axis]
    if not isinstance(size, int):
        raise CannotExpandError(
            f"the length of {_name(value)} is not known; give it with input_shapes, or export it fixed"
        )
    return size


def _cut(expansion: Writing, value: ir.Value, axis: int, backward: int) -> list[ir.Value]:
    size = _length(value, axis)
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


# ---- which loops stay ----


def _stay_open(node: ir.Node, states: int, unknown: str) -> None:
    """Note that a loop whose steps are counted at run time stays one.

    unknown: what of it is not known.

    Raises
    ------
    CannotExpandError
        It holds sequences, changes the shape of a state, or collects what has no known length.
    """
    if _holds_sequences(node):
        raise CannotExpandError(f"{unknown}, which is computed from the input, and it fills a list; {_ADVICE}")
    if any(v.uses() or v.is_graph_output() for v in node.outputs[states:]):
        raise CannotExpandError(
            f"{unknown}, which is computed from the input, and so does the length of what it collects; {_ADVICE}"
        )
    node.meta[KEPT] = True


def _all_alike(node: ir.Node, states: Sequence[ir.Value | None]) -> bool:
    """Tell whether the steps of a loop differ in numbers alone: shapes and places are the same, or picked by index."""
    body = next(iter(subgraphs(node)))
    if _holds_sequences(node) or any(subgraphs(inner) for inner in body):
        return False
    pairs = list(zip(states, node.outputs, strict=False))
    if any(v is None or (_floats(v) and (v.shape is None or dims(v) != dims(end))) for v, end in pairs):
        return False
    if any(not _floats(v) and (end.uses() or end.is_graph_output()) for v, end in pairs):
        return False  # a count that is known where the steps are written out
    counting = {v for v in body.inputs if v.dtype is None or not v.dtype.is_floating_point()}
    counting -= {f for f, (v, _) in zip(body.inputs[len(body.inputs) - len(pairs) :], pairs, strict=True) if _floats(v)}
    return _counts_alone(body, counting)


def _floats(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.is_floating_point()


def _counts_alone(body: ir.Graph, counting: set[ir.Value]) -> bool:
    """Tell whether what counts the steps meets numbers only where it picks some of them."""
    fixed = set(body.initializers.values())
    for node in body:
        reads = {v for v in node.inputs if v is not None and v in counting}
        if not reads or (node.op_type == "Gather" and node.inputs[0] not in counting):
            continue
        if any(v not in counting and v not in fixed and v.producer() is not None for v in node.inputs if v is not None):
            return False
        counting.update(node.outputs)
    return True


def _holds_sequences(node: ir.Node) -> bool:
    """Tell of a loop in which lists of tensors are filled."""
    if any(isinstance(v.type, ir.SequenceType) for v in (*node.inputs, *node.outputs) if v is not None):
        return True
    inner = [n for body in subgraphs(node) for n in body]
    return any(facts_of(n).writes_sequence or _holds_sequences(n) for n in inner)
