"""Which tensors cannot be negative, and which not positive: there [X]₊ is X itself, or nothing at all."""

from __future__ import annotations

import onnx_ir as ir

from .dag import Graph
from .op_facts import Sign, facts_of

_MOST_STEPS = 60  # up the graph; further away than that a sign is not looked for


def is_nonnegative(graph: Graph, value: ir.Value | None, _depth: int = 0) -> bool:
    """Tell whether a tensor is known to have no negative entry."""
    if value is None or _depth > _MOST_STEPS:
        return False
    if not graph.active(value):
        constant = graph.constant(value)
        return constant is not None and bool((constant >= 0).all())
    node = value.producer()
    if node is None:
        return False
    sign = sign_of(graph, node)
    if sign in (Sign.KEEPS, Sign.KEEPS_NONNEGATIVE):
        return all(is_nonnegative(graph, v, _depth + 1) for v in _data(node))
    return sign in (Sign.NONNEGATIVE, Sign.UNIT)


def is_nonpositive(graph: Graph, value: ir.Value | None, _depth: int = 0) -> bool:
    """Tell whether an activation is known to have no positive entry, such as a log-sigmoid's."""
    node = value.producer() if value is not None and _depth <= _MOST_STEPS and graph.active(value) else None
    if node is None:
        return False
    sign = sign_of(graph, node)
    if sign is Sign.KEEPS:
        return all(is_nonpositive(graph, v, _depth + 1) for v in _data(node))
    if sign is Sign.TURNS:
        return is_nonnegative(graph, node.inputs[0], _depth + 1)
    return sign is Sign.NONPOSITIVE


def sign_of(graph: Graph, node: ir.Node) -> Sign:
    """Return what the facts of a node's op say of its sign."""
    sign = facts_of(node).sign
    return sign if isinstance(sign, Sign) else sign(graph, node)


def _data(node: ir.Node) -> list[ir.Value | None]:
    return list(node.inputs[: facts_of(node).data_inputs])
