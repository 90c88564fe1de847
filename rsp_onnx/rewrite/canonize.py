"""Canonizing: rewrites of what the walk sees. The outputs stay equal, bit for bit where the opset stays."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    InlinePass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveInitializersFromInputsPass,
    TopologicalSortPass,
)

from rsp_onnx.graph.nodes import remove_unread
from rsp_onnx.model.load import Model

from .lift import lift

_HIGHEST_IR = 10
_GENERATED = ("gemm_input_shape", "gemm_output_shape")  # of the reshapes around a MatMul fused with its bias


def canonize(model: Model) -> ir.Model:
    """Return a rewritten copy of a model whose outputs are equal.

    Local functions are inlined, Constant nodes become initializers, initializers that are also graph
    inputs are no inputs any more, opsets below 18 are lifted, Dropout (outside training) and Identity are dropped.

    Raises
    ------
    BadModel
        The model's opset cannot be lifted.
    """
    work = model.ir.clone()
    work.graph.opset_imports.setdefault("", 1)
    for step in (
        InlinePass(),
        RemoveInitializersFromInputsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    ):
        step(work)
    work = lift(work, model.title)
    _drop_dropout(work.graph)
    _drop_identities(work.graph)
    remove_unread(work)
    for cleanup in (NameFixPass(), TopologicalSortPass()):
        cleanup(work)
    _rename_generated(work.graph)
    work.ir_version = max(work.ir_version, min(_HIGHEST_IR, 8))
    return work


def _rename_generated(graph: ir.Graph) -> None:
    """Rename constants that ONNX Runtime named when it saved the model: it fails where it makes the name again."""
    for name, value in list(graph.initializers.items()):
        if name.startswith(_GENERATED):
            del graph.initializers[name]
            value.name = f"saved/{name}"
            graph.register_initializer(value)


def _drop_dropout(graph: ir.Graph) -> None:
    """Take Dropout nodes out: at inference they are the identity. One that trains is left and refused later."""
    for node in list(graph):
        if node.op_type != "Dropout" or node.domain not in ("", "ai.onnx"):
            continue
        mask_used = len(node.outputs) > 1 and bool(node.outputs[1].uses() or node.outputs[1].is_graph_output())
        source, result = node.inputs[0], node.outputs[0]
        if mask_used or source is None or result.is_graph_output() or _trains(node):
            continue
        result.replace_all_uses_with(source)
        graph.remove(node, safe=True)


def _drop_identities(graph: ir.Graph) -> None:
    """Take Identity nodes out, but not those that give an output of its own to an input, constant or other output.

    onnx_ir's pass would also take them out of the bodies of If and Loop, whose outputs need nodes of their own.
    """
    for node in list(graph):
        source, result = node.inputs[0] if node.inputs else None, node.outputs[0]
        if node.op_type != "Identity" or node.domain not in ("", "ai.onnx") or source is None:
            continue
        if result.is_graph_output():
            if source.is_graph_input() or source.is_initializer() or source.is_graph_output():
                continue
            source.name, result.name = result.name, None
            source.shape, source.type = result.shape or source.shape, result.type or source.type
        result.replace_all_uses_with(source, replace_graph_outputs=True)
        graph.remove(node, safe=True)


def _trains(node: ir.Node) -> bool:
    flag = node.inputs[2] if len(node.inputs) > 2 else None
    if flag is None:
        return False
    return flag.const_value is None or bool(flag.const_value.numpy())
