"""Which tensors are known to be zero, not negative or not positive: there [X]₊ is X itself, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from .dag import Graph
from .op_facts import Data, Sign, facts_of
from .upward import Asking, answer

Constant: TypeAlias = "Callable[[ir.Value | None], np.ndarray | None]"  # what is known of a tensor before run time


def is_nonnegative(graph: Graph, value: ir.Value | None) -> bool:
    """Tell whether a tensor is known to have no negative entry."""
    return value is not None and answer((value, True), partial(_is_one_sided, graph), graph.one_sided)


def is_nonpositive(graph: Graph, value: ir.Value | None) -> bool:
    """Tell whether an activation is known to have no positive entry, such as a log-sigmoid's."""
    return value is not None and answer((value, False), partial(_is_one_sided, graph), graph.one_sided)


def _is_one_sided(graph: Graph, asked: tuple[ir.Value, bool]) -> Asking[tuple[ir.Value, bool], bool]:
    """Tell of (a tensor, True) whether it has no negative entry, and of (a tensor, False) whether no positive one."""
    value, upper = asked
    if not graph.active(value):
        constant = graph.constant(value) if upper else None
        return constant is not None and bool((constant >= 0).all())
    node = value.producer()
    if node is None:
        return False
    sign = sign_of(graph, node)
    if sign is Sign.TURNS and not upper:
        source = node.inputs[0]
        return source is not None and (yield (source, True))
    if sign is Sign.KEEPS or (sign is Sign.KEEPS_NONNEGATIVE and upper):
        for source in _data(node):
            if source is None or not (yield (source, upper)):
                return False
        return True
    return sign in (Sign.NONNEGATIVE, Sign.UNIT) if upper else sign is Sign.NONPOSITIVE


def sign_of(graph: Graph, node: ir.Node) -> Sign:
    """Return what the facts of a node's op say of its sign."""
    sign = facts_of(node).sign
    return sign if isinstance(sign, Sign) else sign(graph, node)


def _data(node: ir.Node) -> list[ir.Value | None]:
    return list(node.inputs[: facts_of(node).data_inputs])


def is_zero(constant: Constant, value: ir.Value) -> bool:
    """Tell of a tensor of zeros whose size may depend on the batch."""
    return answer(value, partial(_is_zero, constant), {})


def _is_zero(constant: Constant, value: ir.Value) -> Asking[ir.Value, bool]:
    known = constant(value)
    if known is not None:
        return not np.any(known)
    node = value.producer()
    if node is None:
        return False
    if node.op_type == "ConstantOfShape":
        fill = node.attributes.get("value")
        return fill is None or not np.any(fill.as_tensor().numpy())
    facts = facts_of(node)
    moves = facts.moves and facts.data not in (Data.QUANTISES, Data.JOINS, Data.PADS)
    if not moves and node.op_type != "Concat":
        return False
    for source in node.inputs if node.op_type == "Concat" else node.inputs[:1]:
        if source is None or not (yield source):
            return False
    return True
