"""Inputs that hold token ids: whole numbers that pick rows of an embedding table."""

from __future__ import annotations

import onnx_ir as ir

from .op_facts import Data, facts_of
from .shapes import carry_anyway

_MOVING = (Data.KEEPS, Data.COPIES, Data.PICKS, Data.CROPS)
_INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)


def mark_tokens(model: ir.Model) -> None:
    """Let relevance pass from the embedding tables of a model up to the inputs whose ids picked the rows, in place.

    An id has no gradient; the relevance of a token is what its embedding gets, summed over the embedding's axis.
    """
    fed = _fed(model)
    for value in model.graph.inputs:
        if value.dtype in _INTEGERS and not value.is_initializer():
            _mark(value, fed)


def _mark(value: ir.Value, fed: set[ir.Value]) -> bool:
    """Mark a tensor of ids, and those it moves on to, where they end in an embedding table; tell whether they do."""
    embedded = False
    for node, slot in value.uses():
        if node.op_type == "Gather" and slot == 1 and node.inputs[0] not in fed and node.domain == "":
            embedded |= _is_table(node.inputs[0])
        elif slot == 0 and facts_of(node).data in _MOVING:
            for output in node.outputs:
                embedded |= _mark(output, fed)
    if embedded:
        carry_anyway(value)
    return embedded


def _is_table(value: ir.Value | None) -> bool:
    """Tell an embedding table (rows of numbers) from a list of sizes."""
    if value is None:
        return False
    shape = value.shape if value.shape is not None else (value.const_value.shape if value.const_value else None)
    return shape is not None and len(shape) > 1


def _fed(model: ir.Model) -> set[ir.Value]:
    """Return every tensor that is computed from an input."""
    fed: set[ir.Value] = {v for v in model.graph.inputs if not v.is_initializer()}
    for node in model.graph:
        if any(v in fed for v in node.inputs if v is not None):
            fed.update(node.outputs)
    return fed
