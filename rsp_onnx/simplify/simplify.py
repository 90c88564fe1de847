"""One sweep over the emitted nodes: shortened, merged where they are equal, removed where nobody reads them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx.defs
import onnx_ir as ir

from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.op_facts import STANDARD, facts_of

from .patterns import Around, shortened

_BODIES = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_SMALL = 1024  # entries of a tensor among a node's attributes, up to which it is compared


def simplify(model: ir.Model, own: Collection[ir.Node]) -> None:
    """Say the same with fewer nodes, in place. Outputs keep their names.

    Parameters
    ----------
    own : collection of onnx_ir.Node
        The deployed model's own nodes, which stay as they are: their numbers are promised to the bit.
    """
    graph, kept = model.graph, frozenset(own)
    nodes = [node for node in graph if node not in kept]
    around = Around(Emitter(graph, np.dtype(np.float32), word=f"{PREFIX}/simple"), frozenset(nodes))
    known: dict[object, ir.Node] = {}
    for node in nodes:
        if any(v.is_graph_output() for v in node.outputs):
            continue
        instead = shortened(around, node)
        if instead is not None:
            node.outputs[0].replace_all_uses_with(instead)
            continue
        key = _key(node)
        first = node if key is None else known.setdefault(key, node)
        if first is not node:
            for output, same in zip(node.outputs, first.outputs, strict=True):
                output.replace_all_uses_with(same)
    _remove_unread(graph, nodes)


def _key(node: ir.Node) -> object | None:
    """Return what two nodes must share to compute the same; None where that is not known."""
    if node.domain not in STANDARD or not onnx.defs.has(node.op_type) or facts_of(node).random:
        return None
    attributes: list[tuple[object, ...]] = []
    for name, given in node.attributes.items():
        kind = given.type
        if kind in _BODIES:
            return None
        if kind == ir.AttributeType.TENSOR:
            tensor = given.as_tensor()
            if tensor.size > _SMALL:
                return None
            attributes.append((name, str(tensor.dtype), *tensor.shape.numpy(), tensor.tobytes()))
        else:
            attributes.append((name, tuple(given.value) if isinstance(given.value, list) else given.value))
    attributes.sort(key=lambda one: str(one[0]))
    return node.domain, node.op_type, len(node.outputs), tuple(map(id, node.inputs)), tuple(attributes)


def _remove_unread(graph: ir.Graph, nodes: Collection[ir.Node]) -> None:
    """Remove nodes nobody reads, and the constants that were emitted for them."""
    for node in reversed(list(nodes)):
        if not any(v.is_graph_output() or v.uses() for v in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if name.startswith(f"{PREFIX}/") and not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
