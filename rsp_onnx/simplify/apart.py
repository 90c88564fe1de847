"""Weights that a layer and its adjoint both read, kept apart for runtimes that mix the two up."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.emit import PREFIX
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import Role, facts_of, is_constant

Way = tuple[object, ...]


def keep_weights_apart(model: ir.Model) -> None:
    """Give each way a constant weight is read its own tensor, in place: W for the first, −(−W) for the next.

    OpenVINO (2026.4, CPU) reorders a weight for the layer that reads it, keeps the result by the memory the weight lies
    in, and takes it for the layer's adjoint too: maps come out wrong without a word. What it computes from W lies
    elsewhere. The file grows by two nodes a layer; a runtime that folds constants holds such a weight twice.
    """
    constant: dict[ir.Value, bool] = {}
    weights = {v: None for node in model.graph.all_nodes() if _is_layer(node) for v in node.inputs if v is not None}
    for index, value in enumerate(weights):
        if len(_ways(value)) > 1 and is_constant(value, constant):
            given = value
            for number, readers in enumerate(list(_ways(value).values())[1:], 1):
                given = _twice_negated(given, f"{PREFIX}/apart_{index}_{number}")
                for node, slot in readers:
                    node.replace_input_with(slot, given)


def _is_layer(node: ir.Node) -> bool:
    return facts_of(node).role is Role.LAYER


def _ways(value: ir.Value) -> dict[Way, list[tuple[ir.Node, int]]]:
    """Return the layers that read a tensor by how they read it: the op, the slot, transposed or not."""
    ways: dict[Way, list[tuple[ir.Node, int]]] = {}
    for node, slot in value.uses():
        if _is_layer(node):
            way = (node.domain, node.op_type, slot, attribute(node, "transA", 0), attribute(node, "transB", 0))
            ways.setdefault(way, []).append((node, slot))
    return ways


def _twice_negated(value: ir.Value, name: str) -> ir.Value:
    once = ir.node("Neg", [value], name=f"{name}/once")
    twice = ir.node("Neg", [once.outputs[0]], name=f"{name}/twice")
    for node in (once, twice):
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = f"{node.name}:0", value.type, value.shape
    home, producer = value.graph, value.producer()  # a branch has constants of its own
    assert home is not None
    if producer is None:
        home.insert_before(home[0], [once, twice])
    else:
        home.insert_after(producer, [once, twice])
    return twice.outputs[0]
