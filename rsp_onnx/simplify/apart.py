"""Weights that a convolution and its transpose both read, kept apart for runtimes that mix the two up."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.emit import PREFIX
from rsp_onnx.graph.op_facts import STANDARD

_FILTER = 1  # the slot of Conv and ConvTranspose that holds it


def keep_filters_apart(model: ir.Model) -> None:
    """Let every ConvTranspose read −(−W) where a Conv reads the constant W, in place.

    OpenVINO (2026.4, CPU) keeps a filter in the order its layer reads it by the memory it lies in, and takes the one of
    the Conv for its transpose: maps come out wrong without a word. What it computes from W lies elsewhere. The file
    grows by two nodes a layer; a runtime that folds constants holds such a filter twice.
    """
    constant: dict[ir.Value, bool] = {}
    filters = {v: None for node in model.graph.all_nodes() if (v := _filter(node, "Conv")) is not None}
    for index, value in enumerate(filters):
        readers = [node for node, _ in value.uses() if _filter(node, "ConvTranspose") is value]
        if readers and _is_constant(value, constant):
            again = _twice_negated(model.graph, value, f"{PREFIX}/apart_{index}")
            for node in readers:
                node.replace_input_with(_FILTER, again)


def _filter(node: ir.Node, op_type: str) -> ir.Value | None:
    return node.inputs[_FILTER] if node.op_type == op_type and node.domain in STANDARD else None


def _is_constant(value: ir.Value, known: dict[ir.Value, bool]) -> bool:
    """Tell of a weight, or of what is computed from weights alone."""
    if value not in known:
        node = value.producer()
        if node is None:
            known[value] = value.const_value is not None and not value.is_graph_input()
        else:
            known[value] = all(_is_constant(v, known) for v in node.inputs if v is not None)
    return known[value]


def _twice_negated(graph: ir.Graph, value: ir.Value, name: str) -> ir.Value:
    once = ir.node("Neg", [value], name=f"{name}/once")
    twice = ir.node("Neg", [once.outputs[0]], name=f"{name}/twice")
    for node in (once, twice):
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = f"{node.name}:0", value.type, value.shape
    producer = value.producer()
    if producer is None or producer.graph is None:
        graph.insert_before(graph[0], [once, twice])
    else:
        producer.graph.insert_after(producer, [once, twice])
    return twice.outputs[0]
