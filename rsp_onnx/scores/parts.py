"""What was joined and cut apart again: the operand of a concatenation that a tensor behind it is, entry by entry."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.axes.follow import moved_axes
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.fold import fold_node
from rsp_onnx.graph.op_facts import Data, facts_of


def joined_part(graph: Graph, value: ir.Value) -> ir.Value | None:
    """Return the operand of a concatenation that a tensor cut out of it is; None where it is none, or not all of one.

    Axes may be transposed on the way. Every entry is numbered, and the numbers are joined and cut as the model does.
    """
    end = value
    cuts: list[ir.Value] = []
    node = value.producer()
    while node is not None and _cuts(node) and len(graph.active_inputs(node)) == 1:
        cuts.append(value)
        value = graph.active_inputs(node)[0]
        node = value.producer()
    if node is None or not cuts or facts_of(node).data is not Data.JOINS or "axis" not in node.attributes:
        return None
    parts = [v for v in node.inputs if v is not None]
    numbered = _numbered(graph, parts)
    known = _computed(graph, node, dict(zip(parts, numbered, strict=True)), value)
    for cut in reversed(cuts):
        producer = cut.producer()
        known = None if known is None or producer is None else _computed(graph, producer, {value: known}, cut)
        value = cut
    if known is None:
        return None
    for part, numbers in zip(parts, numbered, strict=True):
        order = moved_axes(graph, part, end) if graph.active(part) and known.size == numbers.size else None
        if order is not None and np.array_equal(known, numbers.transpose(order)):
            return part
    return None


def _cuts(node: ir.Node) -> bool:
    return facts_of(node).neutral or facts_of(node).data in (Data.PICKS, Data.CROPS)


def _numbered(graph: Graph, parts: list[ir.Value]) -> list[np.ndarray]:
    """Return tensors of the parts' sizes with their entries counted on from one to the next; a free batch is 1."""
    sizes = [[d or 1 for d in graph.dims(v)] for v in parts]
    starts = [0, *np.cumsum([int(np.prod(s)) for s in sizes]).tolist()]
    return [np.arange(a, b).reshape(s) for a, b, s in zip(starts, starts[1:], sizes, strict=False)]


def _computed(graph: Graph, node: ir.Node, given: dict[ir.Value, np.ndarray], output: ir.Value) -> np.ndarray | None:
    arrays = [given[v] if v in given else graph.constant(v) for v in node.inputs if v is not None]
    if len(arrays) != len(node.inputs) or any(a is None for a in arrays):
        return None
    results = fold_node(node, graph.model.graph.opset_imports, arrays)
    return dict(zip(node.outputs, results, strict=True))[output]
