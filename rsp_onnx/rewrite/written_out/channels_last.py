"""Integer layers with their channels last, as ONNX Runtime saves them with all optimisations: channels first again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.nodes import attribute, attributes
from rsp_onnx.graph.op_facts import MICROSOFT
from rsp_onnx.rewrite.registry import Writing, expands

_STANDARD = {"NhwcMaxPool": "MaxPool", "QLinearConv": "QLinearConv"}


@expands(f"{MICROSOFT}QLinearConv", f"{MICROSOFT}NhwcMaxPool", how="written as the standard op, channels first")
@expands(f"{MICROSOFT}QLinearAveragePool", f"{MICROSOFT}QLinearGlobalAveragePool", how="")  # else by their rules
def expand_channels_last(expansion: Writing, node: ir.Node) -> Sequence[ir.Value] | None:
    """Write the op between two Transposes; None where its channels are first and it has a rule.

    Raises
    ------
    CannotExpandError
        How many axes its input has is not known.
    """
    last = bool(attribute(node, "channels_last", 0)) or node.op_type == "NhwcMaxPool"
    if not last and node.op_type not in _STANDARD:
        return None
    op, (x, *rest) = expansion.emitter(None), node.inputs
    rank = 0 if x is None else len(x.shape or ())
    if x is None or not rank:
        raise CannotExpandError("the shape of its input is not known; give it with input_shapes")
    source = op.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)]) if last else x
    y = op.emit(_STANDARD.get(node.op_type, node.op_type), source, *rest, **attributes(node, "channels_last"))
    if node.op_type not in _STANDARD:
        cast("ir.Node", y.producer()).domain = node.domain
        if x.dtype is not None:
            y.dtype = x.dtype  # which ONNX does not infer in this domain
    return [op.Transpose(y, perm=[0, *range(2, rank), 1]) if last else y]
