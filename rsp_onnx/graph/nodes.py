"""Reading a node: its attributes, its optional inputs, its subgraphs; removing those that nobody reads."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

_HIDDEN = "rsp_onnx.as_it_is"  # a domain of which the pass knows no op


def input_at(node: ir.Node, slot: int) -> ir.Value | None:
    """Return an input of a node; None where it is left out."""
    return node.inputs[slot] if len(node.inputs) > slot else None


def attribute(node: ir.Node, name: str, default: object = None) -> object:
    """Return an attribute's value as Python has it, or the default."""
    given = node.attributes.get(name)
    if given is None or not isinstance(given, ir.Attr) or given.value is None:
        return default
    if given.type == ir.AttributeType.STRING:
        return given.as_string()
    if given.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS):
        return list(given.value)
    return given.value


def attributes(node: ir.Node, *without: str) -> dict[str, Any]:
    """Return a node's attributes by name, as the emitter takes them."""
    return {n: a.value for n, a in node.attributes.items() if isinstance(a, ir.Attr) and n not in without}


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """Return the bodies of an If, Loop or Scan."""
    own = [a for a in node.attributes.values() if isinstance(a, ir.Attr)]
    bodies = [a.as_graph() for a in own if a.type == ir.AttributeType.GRAPH]
    return bodies + [g for a in own if a.type == ir.AttributeType.GRAPHS for g in a.as_graphs()]


def captured(node: ir.Node) -> list[ir.Value]:
    """Return the tensors that the bodies of a node read from outside."""
    bodies = subgraphs(node)
    inner = [n for body in bodies for n in body]
    own = {v for body in bodies for v in (*body.inputs, *body.initializers.values())}
    own |= {v for n in inner for v in n.outputs}
    read = [v for n in inner for v in (*n.inputs, *captured(n))] + [v for body in bodies for v in body.outputs]
    return [v for v in read if v is not None and v not in own]


def remove_unread(model: ir.Model) -> None:
    """Remove nodes, constants and optional outputs that nobody reads, in place.

    A BatchNormalization in training mode stays one: onnx_ir before 1.1 takes the mode away where only its first output
    is read, which then is another.
    """
    nodes = model.graph.all_nodes()
    training = {node: node.domain for node in nodes if node.attributes.get_int("training_mode", 0)}
    for node in training:
        node.domain = _HIDDEN
    RemoveUnusedNodesPass()(model)
    for node, domain in training.items():
        node.domain = domain
