"""A forward pass of its own for the outputs, where the runtime's fusions would notice a second reader.

Convolutional networks share one forward pass between scores and relevance (``views`` reads past their fusions).
In transformers ONNX Runtime fuses whole patterns, and any reader inside one changes the scores' last bits; recurrent
layers and loops are explained by nodes that are not the deployed ones at all. There the model stands twice: once
untouched for the outputs, once for the backward pass, on an input that is equal but not the same to the runtime. It
costs one more forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import TopologicalSortPass

from rsp_onnx.graph.dag import subgraphs
from rsp_onnx.rewrite.expand import needs_expansion
from rsp_onnx.rulekit.context import Context

_ORDERED = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.INT64, ir.DataType.INT32)  # of Max
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


def keep_apart(ctx: Context, deployed: ir.Model) -> bool:
    """Give the model's outputs a forward pass that nothing else reads; False where it cannot be done.

    deployed: the model before anything was written out. Its nodes move into the compiled graph.
    """
    graph = ctx.graph.model.graph
    if any(v.dtype not in _ORDERED for v in ctx.graph.inputs) and not needs_expansion(deployed):
        return False
    for value in ctx.graph.inputs:
        if value.dtype in _ORDERED:
            _read_an_equal(ctx, value)
    outputs = _move_in(deployed.graph, graph)
    for index, (value, own) in enumerate(zip(list(graph.outputs), outputs, strict=False)):
        if own is not value:
            name = value.name
            value.name, own.name = f"rsp_onnx/again/{name}", name
            graph.outputs[index] = own
    TopologicalSortPass()(ctx.graph.model)
    return True


def _read_an_equal(ctx: Context, value: ir.Value) -> None:
    """Let the nodes of the backward pass's model read a value that the runtime cannot tell to be the input itself."""
    assert value.dtype is not None
    kind = value.dtype.numpy()
    lowest = np.array(-np.inf if value.dtype.is_floating_point() else np.iinfo(kind).min, dtype=kind)
    equal = ctx.op.Max(value, _constant(ctx, lowest))
    for node in ctx.graph.nodes:
        for slot, source in enumerate(node.inputs):
            if source is value:
                node.replace_input_with(slot, equal)


def _constant(ctx: Context, array: np.ndarray) -> ir.Value:
    if ir.DataType.from_numpy(array.dtype) == ctx.op.type:
        return ctx.op.constant(array)
    value = ir.Value(name=f"rsp_onnx/lowest_{array.dtype}", const_value=ir.tensor(array))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    ctx.graph.model.graph.initializers.setdefault(str(value.name), value)
    return ctx.graph.model.graph.initializers[str(value.name)]


def _move_in(source: ir.Graph, graph: ir.Graph) -> Sequence[ir.Value]:
    """Move all nodes of one graph into another that has the same inputs; return what its outputs are there."""
    nodes, outputs = list(source), list(source.outputs)
    source.outputs.clear()
    inputs = {v.name: v for v in graph.inputs}
    same = {value: inputs[value.name] for value in source.inputs}
    for name, value in list(source.initializers.items()):
        if name in graph.initializers:
            same[value] = graph.initializers[name]
        else:
            del source.initializers[name]
            graph.register_initializer(value)
    for value, own in same.items():
        value.replace_all_uses_with(own)
    for value in (v for node in nodes if subgraphs(node) for v in node.outputs if v not in outputs):
        value.type, value.shape = None, None  # it may be a sequence, which inference takes for a tensor
    for body in (body for node in nodes for body in subgraphs(node)):
        for value in (v for inner in body for v in inner.outputs):
            value.shape = None  # as one trace had it; another may take the other branch
    source.remove(nodes)
    for item in named(nodes):
        item.name = f"rsp_onnx/own/{item.name}" if item.name else item.name
    graph.extend(nodes)
    return [same.get(v, v) for v in outputs]


def named(nodes: Sequence[ir.Node]) -> Iterator[ir.Node | ir.Value]:
    """Return the nodes and all tensors that they and their subgraphs write."""
    for node in nodes:
        yield node
        yield from node.outputs
        for body in subgraphs(node):
            yield from body.inputs
            yield from list(body.initializers.values())
            yield from named(list(body))
