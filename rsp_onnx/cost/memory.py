"""The memory a graph takes: its weights, and the most that its tensors take at once while it runs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from rsp_onnx.graph.nodes import captured, subgraphs
from rsp_onnx.graph.op_facts import Data, Layout, Role, facts_of

from .amounts import is_fused
from .table import Sizes


def weight_bytes(graph: ir.Graph) -> int:
    """Return how many bytes a graph's weights take."""
    stored = (v.const_value for v in graph.initializers.values())
    return sum(t.nbytes for t in stored if t is not None)


def folded_bytes(graph: ir.Graph, sizes: Sizes) -> int:
    """Return how many bytes ONNX Runtime computes of weights alone, when it loads a model, and keeps."""
    read = {v for node in graph if not sizes.is_folded(node.outputs[0]) for v in (*node.inputs, *captured(node))}
    return sum(sizes.bytes(v) for v in read if v is not None and v.producer() is not None and sizes.is_folded(v))


def largest_weight(model: ir.Model) -> int:
    """Return how many bytes a model's largest weight takes; 0 where it has none."""
    return max(
        (v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None), default=0
    )


def filter_bytes(graph: ir.Graph) -> int:
    """Return how many bytes of the weights are filters, of which ONNX Runtime keeps a copy in an order of its own."""
    layers = [n for n in graph if (f := facts_of(n)).role is Role.LAYER and f.layout is Layout.CHANNELS_FIRST]
    filters = {v for n in layers for v in n.inputs if v is not None and v.is_initializer()}
    return sum(v.const_value.nbytes for v in filters if v.const_value is not None)


def live_bytes(graph: ir.Graph, sizes: Sizes) -> int:
    """Return the most bytes that tensors (the inputs too, weights not) take at once when nodes run in their order.

    A tensor is freed behind its last reader. Ops that only change axes share their input's memory, and so do ops that
    write entry by entry over an input nobody reads later. ONNX Runtime goes depth first after rewriting the graph,
    and its arena has gaps: a factor in ``rates.py`` stands for both.
    """
    order = list(graph)
    home = _homes(graph)
    last = _last_readers(graph, home)
    alive: dict[ir.Value, int] = {v: sizes.bytes(v) for v in graph.inputs}
    most = now = sum(alive.values())
    for step, node in enumerate(order):
        taken = _taken_over(node, step, alive, last, home, sizes)
        for output in node.outputs:
            if output.name and output not in home:
                nothing = sizes.is_folded(output) or (output is node.outputs[0] and taken is not None)
                alive[output] = 0 if nothing else sizes.bytes(output)
                now += alive[output]
        most = max(most, now + max((live_bytes(body, sizes) for body in subgraphs(node)), default=0))
        if taken is not None:  # its memory lives on under the name of what was written over it
            alive[node.outputs[0]] = alive.pop(taken)
        ended = {v for v in _owners(node, home) if last[v] == step} | {v for v in node.outputs if v not in last}
        now -= sum(alive.pop(v, 0) for v in ended)
    return most


def _homes(graph: ir.Graph) -> dict[ir.Value, ir.Value]:
    """Return, for what views write and what is computed within a neighbour, the tensor whose memory that is."""
    home: dict[ir.Value, ir.Value] = {}
    for node in graph:
        facts, source = facts_of(node), node.inputs[0] if node.inputs else None
        if source is not None and (facts.view or is_fused(node, facts)):
            home[node.outputs[0]] = home.get(source, source)
    return home


def _owners(node: ir.Node, home: Mapping[ir.Value, ir.Value]) -> set[ir.Value]:
    """Return the tensors whose memory a node reads."""
    return {home.get(v, v) for v in (*node.inputs, *captured(node)) if v is not None}


def _last_readers(graph: ir.Graph, home: Mapping[ir.Value, ir.Value]) -> dict[ir.Value, int]:
    """Return the step at which each tensor is read last; beyond the end for the graph's own inputs and outputs."""
    last = {value: step for step, node in enumerate(graph) for value in _owners(node, home)}
    return last | {home.get(v, v): len(graph) for v in (*graph.outputs, *graph.inputs)}


def _taken_over(
    node: ir.Node, step: int, alive: Mapping[ir.Value, int], last: Mapping[ir.Value, int],
    home: Mapping[ir.Value, ir.Value], sizes: Sizes,
) -> ir.Value | None:  # fmt: skip
    """Return the input whose memory a node's output takes over; None where it needs its own."""
    facts, output = facts_of(node), node.outputs[0]
    if facts.data is not Data.COMPUTES or facts.products is not None or subgraphs(node) or output in home:
        return None
    for value in node.inputs:
        owner = value and home.get(value, value)
        if owner is not None and owner in alive and last.get(owner) == step and alive[owner] == sizes.bytes(output):
            return owner
    return None
