"""Which tensors are still the model's input."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import Data, facts_of


def is_source(graph: Graph, value: ir.Value) -> bool:
    """Tell whether only movement and affine maps by constants lie between a tensor and an input of the model."""
    node = value.producer()
    while node is not None:
        active, facts = graph.active_inputs(node), facts_of(node)
        moves = facts.moves and facts.data is not Data.SELECTS
        embeds = node.op_type == "Gather" and not graph.active(node.inputs[0])
        if not (moves or facts.affine or node.op_type == "Resize") or embeds or len(set(active)) != 1:
            return False
        if facts.affine and len(active) != 1:  # x·x
            return False
        value = active[0]
        node = value.producer()
    return value not in graph.hidden
