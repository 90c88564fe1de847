"""A forward pass of its own for the outputs of models that round: half precision, quantised.

The backward pass is a second reader of the model's tensors, and ONNX Runtime fuses two nodes only while nobody else
reads what lies between them. In float32 that moves the scores by their last bits, at most by 5e-6 of the largest
(docs/measurements.md); where numbers are rounded on the way it moves them by whole steps of the rounding. There the
model stands twice: once untouched for the outputs, once for the backward pass, on an input that is equal but not the
same to the runtime. It costs one more forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import TopologicalSortPass

from rsp_onnx.graph.bodies import named
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import subgraphs
from rsp_onnx.graph.op_facts import Data, facts_of
from rsp_onnx.rulekit.context import Context

from .interface import PREDICTED

_ORDERED = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.INT64, ir.DataType.INT32)  # of Max
_BYTES = (ir.DataType.UINT8, ir.DataType.INT8)  # Clip takes them, Max does not
_EXACT = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL,
          ir.DataType.STRING)  # fmt: skip


def rounds(graph: Graph) -> bool:
    """Tell of a model that computes with less than single precision: half precision, small integers."""
    stored = (v for v in graph.values.values() if not v.is_graph_input())
    return any(v.dtype is not None and v.dtype not in _EXACT for v in stored)


def give_own_forward(ctx: Context, deployed: ir.Model) -> None:
    """Give the model's outputs a forward pass that nothing else reads.

    deployed: the model before anything was written out. Its nodes move into the compiled graph.
    """
    graph = ctx.graph.model.graph
    _write_out_biases(ctx)
    for value in ctx.graph.inputs:
        if value.dtype in _ORDERED + _BYTES:
            _read_an_equal(ctx, value)
    outputs = _move_in(deployed.graph, graph)
    for index, (value, own) in enumerate(zip(list(graph.outputs), outputs, strict=False)):
        if own is not value:
            name = value.name
            value.name, own.name = f"rsp_onnx/again/{name}", name
            graph.outputs[index] = own
            for node, slot in list(value.uses()):
                if str(node.name).startswith(f"{PREDICTED}/"):  # the class the deployed model itself would choose
                    node.replace_input_with(slot, own)
    TopologicalSortPass()(ctx.graph.model)


def _write_out_biases(ctx: Context) -> None:
    """Store quantised biases as the numbers they stand for, in what the backward pass reads.

    CUDA has no kernel for them. Where the outputs come from they stay: on the CPU the runtime computes with integers.
    """
    graph = ctx.graph.model.graph
    for node in list(graph):
        stored = node.inputs[0] if facts_of(node).data is Data.QUANTISES else None
        if stored is not None and stored.dtype == ir.DataType.INT32 and not node.outputs[0].is_graph_output():
            found = ctx.graph.constant(node.outputs[0])
            if found is not None:
                node.outputs[0].replace_all_uses_with(_stored(graph, f"rsp_onnx/bias/{node.outputs[0].name}", found))
                graph.remove(node, safe=True)


def _read_an_equal(ctx: Context, value: ir.Value) -> None:
    """Let the nodes of the backward pass's model read a value that the runtime cannot tell to be the input itself."""
    assert value.dtype is not None
    kind = value.dtype.numpy()
    if value.dtype in _BYTES:
        ends = (np.array(end, dtype=kind) for end in (np.iinfo(kind).min, np.iinfo(kind).max))
        equal = ctx.op.Clip(value, *(_constant(ctx, end) for end in ends))
    else:
        lowest = np.array(-np.inf if value.dtype.is_floating_point() else np.iinfo(kind).min, dtype=kind)
        equal = ctx.op.Max(value, _constant(ctx, lowest))
    for node in ctx.graph.nodes:
        for slot, source in enumerate(node.inputs):
            if source is value:
                node.replace_input_with(slot, equal)


def _constant(ctx: Context, array: np.ndarray) -> ir.Value:
    if ir.DataType.from_numpy(array.dtype) == ctx.op.type:
        return ctx.op.constant(array)
    return _stored(ctx.graph.model.graph, f"rsp_onnx/{array.dtype}_{array}", array)


def _stored(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    return graph.initializers.setdefault(name, value)


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
