"""The inputs that are not explained, each with the reason: nothing is left out without a word."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import captured
from rsp_onnx.graph.op_facts import facts_of, op_name
from rsp_onnx.graph.shapes import carries_ids

_MOST_NAMED = 3


def left_out(graph: Graph, end: ir.Value, only: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return a sentence per input of the model that is not explained, with the reason.

    Parameters
    ----------
    end : onnx_ir.Value
        The scores.
    only : iterable of str, optional
        The inputs the user wants explained; others are left out as asked, without a word.
    """
    said = []
    for value in graph.model.graph.inputs:
        if value in graph.inputs or value.is_initializer() or (only is not None and value.name not in set(only)):
            continue
        said.append(f"the input {value.name!r} is not explained: {_reason(graph, value, end)}")
    return tuple(said)


def _reason(graph: Graph, value: ir.Value, end: ir.Value) -> str:
    readers = _readers(graph)
    reached = _reached(readers, value)
    if end not in reached:
        return "the scores do not depend on it"
    if carries_ids(value):
        return "it holds ids, which this method cannot change little by little"
    if value.dtype == ir.DataType.BOOL:
        return "it holds truth values, which have no gradient"
    if graph.dims(value) == ():
        return "it is one number without axes"
    names = list(dict.fromkeys(op_name(node) for node in _stopping(graph, readers, value)))
    if not names:
        return "nothing flows back to it"
    ops = ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")
    if value.dtype is not None and not value.dtype.is_floating_point():
        return f"it holds whole numbers that pick no embedding, as a mask or a length does (read by {ops})"
    return f"it reaches the scores only through what has no gradient ({ops})"


def _stopping(graph: Graph, readers: dict[ir.Value, list[ir.Node]], value: ir.Value) -> list[ir.Node]:
    """Return the nodes at which what flows from an input ends; those that only move it are passed."""
    flowing = graph.seen_from([str(value.name)])
    stopping: list[ir.Node] = []
    seen, waiting = {value}, [value]
    while waiting:
        for node in readers.get(waiting.pop(), ()):
            if all(graph.constant(v) is not None for v in node.outputs):  # its shape
                continue
            if node not in flowing.dag and not facts_of(node).moves:
                stopping.append(node)
                continue
            new = [v for v in node.outputs if v not in seen]
            seen.update(new)
            waiting.extend(new)
    return [node for node in graph.nodes if node in stopping]


def _readers(graph: Graph) -> dict[ir.Value, list[ir.Node]]:
    readers: dict[ir.Value, list[ir.Node]] = {}
    for node in graph.nodes:
        for value in {v for v in (*node.inputs, *captured(node)) if v is not None}:
            readers.setdefault(value, []).append(node)
    return readers


def _reached(readers: dict[ir.Value, list[ir.Node]], value: ir.Value) -> set[ir.Value]:
    """Return every tensor that is computed from a value, by whatever ops."""
    reached: set[ir.Value] = set()
    waiting = [value]
    while waiting:
        for node in readers.get(waiting.pop(), ()):
            new = [v for v in node.outputs if v not in reached]
            reached.update(new)
            waiting.extend(new)
    return reached
