"""Zero padding that a convolution can do itself: ONNX Runtime joins the two, unless somebody reads what lies between.

The rules would: so in the walk's own copy of a model the convolution pads. Scores and maps are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import STANDARD


def pad_in_convolutions(graph: Graph, kept: Collection[ir.Value]) -> Callable[[ir.Model], None]:
    """Return a function that joins, in a copy of the graph's model, every Pad with the Conv that alone reads it.

    Parameters
    ----------
    kept : collection of onnx_ir.Value
        Tensors of the graph that must stay.
    """
    place = {node: index for index, node in enumerate(graph.nodes)}
    joined = []
    for node in graph.nodes:
        reader = _only_reader(node) if _pads_zeros(graph, node) and node.outputs[0] not in kept else None
        pads = None if reader is None or reader not in place else _together(graph, node, reader)
        if reader is not None and pads is not None:
            joined.append((place[node], place[reader], pads))

    def join(model: ir.Model) -> None:
        nodes = list(model.graph)
        for first, second, pads in joined:
            padding, convolution = nodes[first], nodes[second]
            convolution.attributes["pads"] = ir.AttrInt64s("pads", pads)
            convolution.replace_input_with(0, padding.inputs[0])
            model.graph.remove(padding, safe=True)

    return join


def _pads_zeros(graph: Graph, node: ir.Node) -> bool:
    if node.op_type != "Pad" or node.domain not in STANDARD or attribute(node, "mode", "constant") != "constant":
        return False
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    fill = graph.constant(node.inputs[2])
    return fill is not None and not fill.any()


def _only_reader(node: ir.Node) -> ir.Node | None:
    """Return the Conv that reads a node's output as its input, where nobody else reads it."""
    result = node.outputs[0]
    uses = list(result.uses())
    if len(uses) != 1 or result.is_graph_output():
        return None
    reader, slot = uses[0]
    plain = reader.op_type == "Conv" and reader.domain in STANDARD and slot == 0
    return reader if plain and attribute(reader, "auto_pad", "NOTSET") == "NOTSET" else None


def _together(graph: Graph, node: ir.Node, reader: ir.Node) -> list[int] | None:
    """Return the padding of both, as Conv has it; None where the Pad does something else than pad maps."""
    rank, given = len(graph.dims(node.outputs[0])), graph.constant(node.inputs[1])
    axes = graph.constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else range(rank)
    if given is None or axes is None or rank < 3 or (given < 0).any():
        return None
    pads = [0] * 2 * rank
    for i, axis in enumerate(axes):
        pads[int(axis) % rank], pads[rank + int(axis) % rank] = int(given[i]), int(given[i + len(given) // 2])
    if any((*pads[:2], *pads[rank : rank + 2])):
        return None
    own = attribute(reader, "pads", [0] * 2 * (rank - 2))
    assert isinstance(own, list)
    return [a + b for a, b in zip(own, (*pads[2:rank], *pads[rank + 2 :]), strict=True)]
