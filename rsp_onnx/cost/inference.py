"""The sizes of a graph's tensors node by node, the bodies of loops and branches included."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import onnx
import onnx.shape_inference
import onnx_ir as ir

from rsp_onnx.graph.nodes import subgraphs
from rsp_onnx.graph.op_facts import STANDARD, Data, facts_of, facts_of_op

from .table import Shape, Sizes, Told
from .values import MOST, value_of

Known: TypeAlias = "Mapping[str, Told]"
_Memory: TypeAlias = "dict[object, list[Told | None]]"
_OPERANDS = 3  # of a layer: data, weight, bias
_LOG = logging.getLogger(__name__)


def infer_graph(graph: ir.Graph, sizes: Sizes, opsets: Mapping[str, int], known: Known) -> None:
    """Find the sizes of what a graph's nodes write, in order. known: by name, what was found before."""
    for value in graph.initializers.values():
        if value.const_value is not None:
            sizes.put(value, (tuple(value.const_value.shape.numpy()), value.const_value.dtype))
    memory: _Memory = {}
    for node in graph:
        if subgraphs(node):
            _infer_bodies(node, sizes, opsets, known)
        for output in node.outputs:
            if output.name in known and output not in sizes.shapes:
                sizes.put(output, known[str(output.name)])
        if not subgraphs(node) and any(v.name and v not in sizes.shapes for v in node.outputs):
            _infer_node(node, sizes, opsets, memory)
        for output in node.outputs:
            if output not in sizes.shapes and output.dtype is not None and (own := _declared(output)) is not None:
                sizes.put(output, (own, output.dtype))
        sizes.unknown += [str(v.name) for v in node.outputs if v.name and v not in sizes.shapes]


def _declared(value: ir.Value) -> Shape | None:
    """Return the shape the graph itself tells for one sample; None where more than the batch is free."""
    if value.shape is None or any(not isinstance(d, int) for d in list(value.shape)[1:]):
        return None
    return tuple(d if isinstance(d, int) else 1 for d in value.shape)


def read_type(told: onnx.TypeProto) -> Told | None:
    """Return shape and dtype of a type; None where a size is not known."""
    tensor = told.tensor_type
    if not told.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    if any(not d.HasField("dim_value") for d in tensor.shape.dim):
        return None
    return tuple(d.dim_value for d in tensor.shape.dim), ir.DataType(tensor.elem_type)


def _infer_node(node: ir.Node, sizes: Sizes, opsets: Mapping[str, int], memory: _Memory) -> None:
    """Infer what one node writes from what is known of its inputs, the values of small ones included."""
    given = [value_of(v, sizes, opsets) for v in node.inputs]
    written = tuple(bool(v.name) for v in node.outputs)
    key = (node.op_type, node.domain, written, str(dict(node.attributes)), tuple(
        None if v is None else (sizes.shapes.get(v), sizes.types.get(v), None if a is None else a.tobytes())
        for v, a in zip(node.inputs, given, strict=True)))  # fmt: skip
    if key not in memory:
        memory[key] = _of_other_domain(node, sizes, opsets, given) or _ask_onnx(node, sizes, opsets, given)
    for output, told in zip(node.outputs, memory[key], strict=True):
        if told is not None and output not in sizes.shapes:
            sizes.put(output, told)


def _of_other_domain(
    node: ir.Node, sizes: Sizes, opsets: Mapping[str, int], given: Sequence[np.ndarray | None]
) -> list[Told | None]:
    """Return what an op of ONNX Runtime's own writes, by its facts: nothing where they do not tell."""
    facts, source = facts_of(node), node.inputs[0] if node.inputs else None
    if node.domain in STANDARD or len(node.outputs) != 1 or source not in sizes.shapes:
        return []
    if facts.data in (Data.KEEPS, Data.REARRANGES):
        return [(sizes.shapes[source], sizes.types[source])]
    plain = facts_of_op(facts.stands_for) if facts.stands_for else None
    if plain is None or plain.weight is None or facts.weight != plain.weight or not onnx.defs.has(facts.stands_for):
        return []
    named = [a for a in node.attributes.values() if a.name in onnx.defs.get_schema(facts.stands_for).attributes]
    twin = ir.node(facts.stands_for, list(node.inputs[:_OPERANDS]), num_outputs=1)
    twin.attributes.update({a.name: a for a in named})
    twin.outputs[0].name = node.outputs[0].name
    found = _ask_onnx(twin, sizes, opsets, given[:_OPERANDS])
    for slot in range(len(twin.inputs)):
        twin.replace_input_with(slot, None)
    return found


def _ask_onnx(
    node: ir.Node, sizes: Sizes, opsets: Mapping[str, int], given: Sequence[np.ndarray | None]
) -> list[Told | None]:
    types, data = {}, {}
    for value, array in zip(node.inputs, given, strict=True):
        if value is not None and value in sizes.shapes:
            types[str(value.name)] = onnx.helper.make_tensor_type_proto(int(sizes.types[value]), sizes.shapes[value])
        if value is not None and array is not None and array.size <= MOST:
            data[str(value.name)] = onnx.numpy_helper.from_array(array, str(value.name))
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
        found = onnx.shape_inference.infer_node_outputs(schema, ir.to_proto(node), types, data, opset_imports=imports)
    except Exception as error:  # an op without inference; its tensors are named as unknown
        _LOG.debug("the sizes of %s are not found: %s", node.name, error)
        return [None] * len(node.outputs)
    return [read_type(found[str(v.name)]) if v.name in found else None for v in node.outputs]


# ---- loops and branches ----


def _infer_bodies(node: ir.Node, sizes: Sizes, opsets: Mapping[str, int], known: Known) -> None:
    """Give the bodies of a node their inputs' sizes, infer them, and the node what it makes of what they return."""
    bodies = subgraphs(node)
    sizes.trips[node] = 1
    if node.op_type == "Loop":
        length = value_of(node.inputs[0], sizes, opsets)
        sizes.trips[node] = 1 if length is None else max(0, int(length.reshape(-1)[0]))
        own = ((), ir.DataType.INT64), ((), ir.DataType.BOOL)
        handed: list[Told | None] = [*own, *(_told(v, sizes) for v in node.inputs[2:])]
    elif node.op_type == "Scan":
        handed = _slices(node, sizes)
    else:
        handed = []
    for body in bodies:
        for value, told in zip(body.inputs, handed, strict=False):
            if told is not None:
                sizes.put(value, told)
        infer_graph(body, sizes, opsets, known)
    skipped = 1 if node.op_type == "Loop" else 0
    _hand_back(node, [_told(v, sizes) for v in bodies[0].outputs][skipped:], sizes)


def _told(value: ir.Value | None, sizes: Sizes) -> Told | None:
    return (sizes.shapes[value], sizes.types[value]) if value is not None and value in sizes.shapes else None


def _slices(node: ir.Node, sizes: Sizes) -> list[Told | None]:
    """Return what a Scan hands its body: the states, and of every sequence one step."""
    count = node.attributes.get_int("num_scan_inputs", 0)
    states, sequences = node.inputs[: len(node.inputs) - count], node.inputs[len(node.inputs) - count :]
    axes = node.attributes.get_ints("scan_input_axes", [0] * count)
    handed = [_told(v, sizes) for v in states]
    for value, axis in zip(sequences, axes, strict=True):
        told = _told(value, sizes)
        if told is not None:
            shape = list(told[0])
            sizes.trips[node] = shape.pop(axis)
            told = tuple(shape), told[1]
        handed.append(told)
    return handed


def _hand_back(node: ir.Node, returned: Sequence[Told | None], sizes: Sizes) -> None:
    """Give a node's outputs their sizes: states as the body returns them, the rest once for every step."""
    states = {"Loop": len(node.inputs) - 2, "Scan": len(node.inputs) - node.attributes.get_int("num_scan_inputs", 0)}
    kept = states.get(node.op_type, len(node.outputs))
    axes = node.attributes.get_ints("scan_output_axes", [0] * max(0, len(node.outputs) - kept))
    for slot, (output, told) in enumerate(zip(node.outputs, returned, strict=False)):
        if told is None:
            continue
        shape = list(told[0])
        if slot >= kept:
            axis = axes[slot - kept]
            shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, sizes.trips[node])
        sizes.put(output, (tuple(shape), told[1]))
