"""Recurrent layers and control flow written out in standard ops before the walk sees them.

Branches whose condition, and loops whose number of steps is known before run time become plain nodes. What cannot be
written out stays as it is, with the reason noted; it is told where an explanation would have to pass it. The scores
come from the nodes as they were deployed (``second_forward``).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, TopologicalSortPass

from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph.nodes import remove_unread

from . import branches, contrib, control_flow, nchwc, recurrent, sequences  # noqa: F401  # importing them registers what they do
from .expansion import Expansion
from .registry import KEPT, WHY, handler_of, has_rule_too
from .written_out import channels_last, deformed, fused, transforms  # noqa: F401  # likewise


def needs_expansion(model: ir.Model) -> bool:
    """Tell whether a model holds what is written out."""
    return any(handler_of(node) is not None for node in model.graph)


def expand(model: ir.Model) -> bool:
    """Write out, in place, all that the known shapes and constants allow; tell whether anything changed.

    New tensors have no shapes yet. With them more may be known, so call it again.
    """
    if (why := _free_size(model)) is not None:
        for node in model.graph:
            node.meta[WHY] = why
        return False
    expansion = Expansion(model)
    for node in list(model.graph):
        expansion.visit(node)
    remove_unread(model)
    for clean in (NameFixPass(), TopologicalSortPass()):
        clean(model)
    return expansion.changed


def _free_size(model: ir.Model) -> str | None:
    """Return why nothing can be written out where an input leaves more than the batch free."""
    for value in model.graph.inputs:
        for axis, size in enumerate(value.shape or ()):
            if not isinstance(size, int) and axis:
                return f"the input {value.name!r} leaves its size on axis {axis} free; give it with input_shapes"
    return None


def why_unexpanded(node: ir.Node) -> str:
    """Return why a node could not be written out; empty where there is no need to."""
    if handler_of(node) is None or node.meta.get(KEPT):
        return ""
    return str(node.meta.get(WHY, "" if has_rule_too(node) else "what it reads is not known before run time"))


def refuse_unexpanded(nodes: Sequence[ir.Node]) -> None:
    """Raise UnsupportedOp with the reason where one of these nodes could not be written out."""
    for node in sorted(nodes, key=lambda n: WHY not in n.meta):  # what is noted tells more
        if why := why_unexpanded(node):
            raise UnsupportedOp(f"The {node.op_type} node {node.name!r} cannot be explained: {why}.")
