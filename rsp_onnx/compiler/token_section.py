"""Sections made of tokens: which of them are places, and whether the head listens to all of them."""

from __future__ import annotations

import math

import networkx as nx
import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import Data, Layout, facts_of, plain_op
from rsp_onnx.graph.shapes import Dims

MOST_EXTRA_TOKENS = 16  # class tokens, registers


def token_axis(sizes: Dims, position_axes: tuple[int, ...]) -> int | None:
    """Return the one axis that counts tokens, or None where positions have several axes (or are none)."""
    long = [a for a in position_axes if sizes[a] != 1]
    return long[0] if len(sizes) == 3 and len(long) == 1 else None


def token_grid(graph: Graph, value: ir.Value, count: int, axes: int | None = None) -> tuple[int, ...] | None:
    """Return (number of tokens in front that are no places, sizes of the grid of places) of ``count`` tokens.

    The grid is that of the last tensor with spatial axes from which the tokens were made; None where there is none.
    axes: how many axes the grid must have.
    """
    for node in reversed(graph.between(graph.inputs, value)):
        sizes = graph.dims(node.outputs[0])[2:]
        first = facts_of(node).layout is Layout.CHANNELS_FIRST
        if not first or None in sizes or not sizes or len(sizes) != (axes or len(sizes)):
            continue
        places = [d for d in sizes if d is not None]
        extra = count - math.prod(places)
        return (extra, *places) if 0 <= extra <= MOST_EXTRA_TOKENS else None
    return None


def is_heard(graph: Graph, value: ir.Value, axis: int, logits: ir.Value) -> bool:
    """Tell whether the scores listen to all tokens of a tensor, not just to a class token that is picked out of it.

    They do if a path leads to the scores around every op that keeps few of the tokens, or if attention mixes the tokens
    before one of them is picked.
    """
    count = graph.dims(value)[axis]
    nodes = graph.between([value], logits)
    picks = {
        node for node in nodes if facts_of(node).data in (Data.PICKS, Data.CROPS) and _keeps_few(graph, node, count)
    }
    around = graph.dag.subgraph({value, logits, *nodes, *(v for n in nodes for v in n.outputs)} - picks)
    ahead = nx.descendants(around, value)
    return logits in ahead or any(node in ahead and _mixes(graph, node) for node in nodes)


def _mixes(graph: Graph, node: ir.Node) -> bool:
    """Tell of attention: a product of two tensors that both depend on the image, written out or fused."""
    return "Attention" in node.op_type or (
        plain_op(node) in ("MatMul", "Einsum") and len(graph.active_inputs(node)) > 1
    )


def _keeps_few(graph: Graph, node: ir.Node, count: int | None) -> bool:
    """Tell of an op that cuts the axis of this size down to half or less."""
    before, after = (graph.dims(v) for v in (graph.active_inputs(node)[0], node.outputs[0]))
    split = [v for v in node.outputs if graph.consumers(v)]
    if len(split) > 1 and len(split) == len(node.outputs):
        return False  # its parts keep all of them together
    if count is None or before.count(count) <= after.count(count):
        return False
    sizes = [math.prod(d for d in dims if d is not None) for dims in (before, after)]
    return 2 * sizes[1] <= sizes[0]
