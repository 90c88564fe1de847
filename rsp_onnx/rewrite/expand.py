"""Recurrent layers and control flow written out in standard ops before the walk sees them.

Branches whose condition, and loops whose number of steps is known before run time become plain nodes. What cannot be
written out stays as it is, with the reason noted; it is told where an explanation would have to pass it. The scores
come from the nodes as they were deployed (``second_forward``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass, TopologicalSortPass

from rsp_onnx.errors import CannotExpandError, UnsupportedOp
from rsp_onnx.graph.dag import op_name

from .contrib import FUSED, expand_fused
from .control_flow import take_branch, unroll_loop, unroll_scan
from .expansion import WHY, Expansion, Handler
from .nchwc import BLOCKED, expand_blocked
from .recurrent import RECURRENT, expand_recurrent
from .sequences import SEQUENCE_OPS


def expanded_ops() -> dict[str, str]:
    """Return the ops that are written out in standard ops before the walk, and how."""
    reasons = dict.fromkeys(RECURRENT, "written out step by step in standard ops, over a known length")
    reasons |= {
        "If": "replaced by the branch taken, where the condition is known before run time",
        "Loop": "unrolled, where the number of steps is known before run time",
        "Scan": "unrolled, over a known length",
    }
    reasons |= dict.fromkeys(FUSED, "written out in the standard ops it was fused from")
    reasons |= dict.fromkeys(BLOCKED, "written out in the standard op it stands for, without the blocked layout")
    return reasons | dict.fromkeys(SEQUENCE_OPS, "resolved to its tensors")


def needs_expansion(model: ir.Model) -> bool:
    """Tell whether a model holds what is written out."""
    ops = expanded_ops()
    return any(op_name(node) in ops for node in model.graph)


def expand(model: ir.Model) -> bool:
    """Write out, in place, all that the known shapes and constants allow; tell whether anything changed.

    New tensors have no shapes yet. With them more may be known, so call it again.
    """
    if (why := _free_size(model)) is not None:
        for node in model.graph:
            node.meta[WHY] = why
        return False
    expansion = Expansion(model, _HANDLERS)
    for node in list(model.graph):
        expansion.visit(node)
    for clean in (RemoveUnusedNodesPass(), NameFixPass(), TopologicalSortPass()):
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
    """Return why a node could not be written out; empty where there is nothing to write out."""
    if op_name(node) not in expanded_ops():
        return ""
    return str(node.meta.get(WHY, "what it reads is not known before run time"))


def refuse_unexpanded(nodes: Sequence[ir.Node]) -> None:
    """Raise UnsupportedOp with the reason where one of these nodes could not be written out."""
    for node in nodes:
        if why := why_unexpanded(node):
            raise UnsupportedOp(f"The {node.op_type} node {node.name!r} cannot be explained: {why}.")


def _recurrent(expansion: Expansion, node: ir.Node) -> Sequence[ir.Value]:
    op = expansion.emitter(node.inputs[0])
    return expand_recurrent(op, expansion.constant, node, RECURRENT[op_name(node)])


def _fused(expansion: Expansion, node: ir.Node) -> Sequence[ir.Value | None]:
    written = expand_fused(expansion.emitter(node.inputs[0]), node)
    if any(v is None and (old.uses() or old.is_graph_output()) for v, old in zip(written, node.outputs, strict=True)):
        raise CannotExpandError("an output is read that only training needs")
    return written


def _blocked(expansion: Expansion, node: ir.Node) -> Sequence[ir.Value] | None:
    return expand_blocked(expansion.emitter(node.inputs[0]), expansion.constant, node)


_HANDLERS: Mapping[str, Handler] = {
    "If": take_branch,
    "Loop": unroll_loop,
    "Scan": unroll_scan,
    **dict.fromkeys(RECURRENT, _recurrent),
    **dict.fromkeys(BLOCKED, _blocked),
    **dict.fromkeys(FUSED, _fused),
}
