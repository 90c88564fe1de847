"""Removing what nobody reads."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

_HIDDEN = "rsp_onnx.as_it_is"  # a domain of which the pass knows no op


def remove_unread(model: ir.Model) -> None:
    """Remove nodes, constants and optional outputs that nobody reads, in place.

    A BatchNormalization in training mode stays one: onnx_ir before 1.1 takes the mode away where only its first output
    is read, which then is another.
    """
    nodes = model.graph.all_nodes()
    training = {node: node.domain for node in nodes if node.attributes.get_int("training_mode", 0)}
    for node in training:
        node.domain = _HIDDEN
    RemoveUnusedNodesPass()(model)
    for node, domain in training.items():
        node.domain = domain
