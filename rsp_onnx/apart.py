"""A forward pass of its own for the outputs, where the runtime's fusions would notice a second reader.

Convolutional networks share one forward pass between scores and relevance (``views`` reads past their fusions).
In transformers ONNX Runtime fuses whole patterns, and any reader inside one changes the scores' last bits. There
the model's nodes stand twice: once untouched for the outputs, once for the backward pass, on an input that is
equal but not the same to the runtime. It costs one more forward pass.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import TopologicalSortPass

from .context import Context

_PATTERNS = {
    "LayerNormalization",
    "SkipLayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "Attention",
    "Einsum",
    "Erf",
    "Gelu",
}


def is_fragile(ctx: Context) -> bool:
    """Tell whether the model holds patterns that the runtime fuses as a whole."""
    return any(
        node.op_type in _PATTERNS or (node.op_type == "MatMul" and len(ctx.graph.active_inputs(node)) == 2)
        for node in ctx.graph.nodes
    )


def keep_apart(ctx: Context) -> bool:
    """Give the model's outputs a forward pass that nothing else reads; False where it cannot be done."""
    graph, nodes = ctx.graph.model.graph, ctx.graph.nodes
    mine = [v for v in ctx.graph.inputs if v.dtype == ctx.op.type]
    if len(mine) != len(ctx.graph.inputs) or any(_has_graph(node) for node in nodes):
        return False
    own = _copies(graph, nodes)
    for value in mine:
        equal = ctx.op.Max(value, np.array(-np.inf))
        for node in nodes:
            for slot, source in enumerate(node.inputs):
                if source is value:
                    node.replace_input_with(slot, equal)
    for index, value in enumerate(list(graph.outputs)):
        if value in own:
            name = value.name
            value.name, own[value].name = f"rsp_onnx/again/{name}", name
            graph.outputs[index] = own[value]
    TopologicalSortPass()(ctx.graph.model)
    return True


def _copies(graph: ir.Graph, nodes: tuple[ir.Node, ...]) -> dict[ir.Value, ir.Value]:
    own: dict[ir.Value, ir.Value] = {}
    for node in nodes:
        inputs = [None if v is None else own.get(v, v) for v in node.inputs]
        copy = ir.Node(
            node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs),
            name=f"rsp_onnx/own/{node.name}",
        )  # fmt: skip
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.name = f"rsp_onnx/own/{old.name}" if old.name else old.name
            new.type, new.shape = old.type, old.shape
            own[old] = new
        graph.append(copy)
    return own


def _has_graph(node: ir.Node) -> bool:
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(isinstance(a, ir.Attr) and a.type in kinds for a in node.attributes.values())
