"""The sizes of every tensor of a graph for given sizes of its inputs, by shape inference: nothing is run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnx.shape_inference
import onnx_ir as ir

from .inference import Known, infer_graph, read_type
from .table import Sizes
from .values import MOST

_LOG = logging.getLogger(__name__)
_OPSET = 18


def sizes_of(model: ir.Model, given: Mapping[str, Sequence[int]] | None = None) -> Sizes:
    """Return the sizes of all tensors.

    Parameters
    ----------
    given : mapping, optional
        Shapes of inputs by name. What neither it nor the graph says is 1, but for the last axis of ``hostile``: 0.
    """
    sizes, graph = Sizes(), model.graph
    for value in graph.inputs:
        asked = (given or {}).get(str(value.name))
        own = [d if isinstance(d, int) else 1 for d in value.shape or ()]
        if value.name == "hostile" and value.shape is not None and not isinstance(value.shape[-1], int):
            own[-1] = 0
        sizes.put(value, (tuple(own if asked is None else asked), value.dtype or ir.DataType.FLOAT))
    infer_graph(graph, sizes, {"": _OPSET, **graph.opset_imports}, _at_once(model, sizes))
    return sizes


def _at_once(model: ir.Model, sizes: Sizes) -> Known:
    """Return what ONNX's own pass over the whole graph finds, which is quick; weights have sizes alone there."""
    graph = model.graph
    declared = [_declared(v, sizes.shapes[v], sizes.types[v]) for v in graph.inputs if not v.is_initializer()]
    stored = []
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None:
            continue
        if tensor.size <= MOST:
            stored.append(ir.to_proto(tensor))
            stored[-1].name = str(value.name)
        else:
            declared.append(_declared(value, tensor.shape.numpy(), tensor.dtype))
    outputs = [onnx.ValueInfoProto(name=str(v.name)) for v in graph.outputs]
    inner = onnx.helper.make_graph([ir.to_proto(n) for n in graph], "sizes", declared, outputs, stored)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in graph.opset_imports.items()]
    whole = onnx.helper.make_model(inner, opset_imports=opsets, ir_version=10)
    try:
        found = onnx.shape_inference.infer_shapes(whole, data_prop=True).graph
    except Exception as error:  # node by node it goes further
        _LOG.debug("shape inference failed: %s", error)
        return {}
    told = {v.name: read_type(v.type) for v in _values(found)}
    return {name: one for name, one in told.items() if one is not None}


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    """Yield what was found of a graph and of the bodies in it; names are different in all of them."""
    yield from (*graph.value_info, *graph.output)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _values(attribute.g)


def _declared(value: ir.Value, shape: Sequence[int], dtype: ir.DataType) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(str(value.name), int(dtype), list(shape))
