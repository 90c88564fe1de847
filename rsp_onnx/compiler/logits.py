"""Which output is explained, and where its logits are: before a final softmax or sigmoid."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import facts_of, facts_of_op


def find_logits(graph: Graph, output: str | None = None) -> tuple[ir.Value, ir.Value, str]:
    """Return (the explained output, the logits y before a final softmax or sigmoid, its kind).

    The kind is ``softmax``, ``log-softmax``, ``sigmoid`` or ``logits`` (no activation at the end).

    Raises
    ------
    BadInput
        No output of this name.
    BadModel
        No output depends on the explained inputs through numbers.
    """
    result = _output(graph, output)
    value, kind, logits = result, "logits", result
    while (node := value.producer()) is not None and len(set(graph.active_inputs(node))) == 1:
        above = graph.active_inputs(node)[0]
        facts = facts_of(node)
        if facts.score_kind:
            kind = facts.score_kind
            logits = above
            break
        if not facts.neutral:
            kind = _fused_kind(node) or kind  # its gradient leaves the activation out
            logits = value if kind != "logits" else logits
            break
        value = above
    return result, logits, kind


def _fused_kind(node: ir.Node) -> str:
    """Return the kind of scores that an activation fused into a node makes; empty for none."""
    facts = facts_of_op(str(attribute(node, "activation", "")))
    return "" if facts is None else facts.score_kind


def _output(graph: Graph, name: str | None) -> ir.Value:
    outputs = list(graph.model.graph.outputs)
    if name is not None:
        for value in outputs:
            if value.name == name:
                return value
        names = ", ".join(repr(v.name) for v in outputs)
        raise BadInput(f"The model has no output {name!r}; its outputs are {names}.")
    for value in outputs:
        if graph.active(value):
            return value
    raise BadModel(
        "No output of the model depends on its input through numbers that have a gradient "
        "(only indices or labels leave it); export the scores as an output too."
    )
