"""Where an output's logits are: before a final softmax or sigmoid."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import facts_of, facts_of_op

from .parts import joined_part


def find_logits(graph: Graph, result: ir.Value) -> tuple[ir.Value, str, ir.Node | None]:
    """Return the logits y of an output before a final softmax or sigmoid, its kind, and the node that makes it so.

    The kind is ``softmax``, ``log-softmax``, ``sigmoid`` or ``logits`` (no activation at the end). Scores that were
    joined with something else and cut out again, as a detector's are, are followed to what they were before.
    """
    value = result
    while (node := value.producer()) is not None and len(set(graph.active_inputs(node))) == 1:
        facts = facts_of(node)
        above = graph.active_inputs(node)[0]
        if facts.score_kind:
            return above, facts.score_kind, node
        part = None if facts.neutral else joined_part(graph, value)
        if not facts.neutral and part is None:
            kind = _fused_kind(node)  # its gradient leaves the activation out
            return (value, kind, None) if kind else (result, "logits", None)
        value = above if part is None else part
    return result, "logits", None


def _fused_kind(node: ir.Node) -> str:
    """Return the kind of scores that an activation fused into a node makes; empty for none."""
    facts = facts_of_op(str(attribute(node, "activation", "")))
    return "" if facts is None else facts.score_kind


def softmax_axis(graph: Graph, node: ir.Node | None) -> int | None:
    """Return the axis a final softmax runs over, of the tensor it reads; None for other ends."""
    if node is None or "softmax" not in facts_of(node).score_kind:
        return None
    axis = attribute(node, "axis", -1)
    return axis % len(graph.dims(node.inputs[0])) if isinstance(axis, int) and node.inputs[0] is not None else None
