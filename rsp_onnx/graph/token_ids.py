"""Inputs that hold ids: numbers that pick rows of an embedding table, or the place of the one in a one-hot row."""

from __future__ import annotations

import onnx_ir as ir

from .op_facts import STANDARD, Data, Role, facts_of
from .shapes import carries_ids, carry_ids, carry_rows

_MOVING = (Data.KEEPS, Data.COPIES, Data.PICKS, Data.CROPS, Data.REARRANGES, Data.JOINS)
_CALCULATING = (Role.ARITHMETIC, Role.ACTIVATION)


def mark_tokens(model: ir.Model) -> None:
    """Let relevance pass from embedding tables and one-hot rows up to the inputs that hold the ids, in place.

    An id has no gradient; the relevance of a token is what its embedding (or one-hot row) gets, summed over the
    embedding's axis. Ids may be cast, moved and calculated with on the way (float ids, an offset per column).
    """
    nodes, fed = list(model.graph), _fed(model)
    ids: set[ir.Value] = set()
    starts: dict[ir.Node, int] = {}
    for node in reversed(nodes):
        slot = _id_slot(node, fed)
        read = node.inputs[slot] if slot is not None else None
        if read is not None and read in fed:
            ids.add(read)
            starts[node] = slot or 0
        elif any(v in ids for v in node.outputs) and _hands_on(node):
            ids.update(v for v in node.inputs if v is not None and v in fed and v.dtype != ir.DataType.BOOL)
    if not ids.intersection(model.graph.inputs):
        return
    reached = set(ids.intersection(model.graph.inputs))
    for node in nodes:
        if not reached.isdisjoint(v for v in node.inputs if v is not None):
            reached.update(v for v in node.outputs if v in ids)
    for value in reached:
        if not _is_number(value, reached):
            carry_ids(value)
    _mark_rows(nodes, [node for node, slot in starts.items() if node.inputs[slot] in reached])


def is_id_step(node: ir.Node) -> bool:
    """Tell of a node that calculates with ids, so that what arrives at its output belongs to the ids as it is."""
    return any(carries_ids(v) for v in node.outputs) and facts_of(node).data not in _MOVING


def _is_number(value: ir.Value, ids: set[ir.Value]) -> bool:
    """Tell of floating-point numbers that are read as numbers too, not as ids alone."""
    if value.dtype is None or not value.dtype.is_floating_point() or value.is_graph_input():
        return False
    return any(ids.isdisjoint(node.outputs) for node in value.consumers())


def _id_slot(node: ir.Node, fed: set[ir.Value]) -> int | None:
    """Return which input of a node holds ids; None where none does."""
    if node.domain not in STANDARD:
        return None
    if node.op_type == "Gather" or (node.op_type == "GatherND" and _picks_rows(node)):
        return 1 if node.inputs[0] not in fed and _is_table(node.inputs[0]) else None
    if not facts_of(node).one_hot:
        return None
    if node.op_type == "Equal":
        return _encoded(node, fed)
    return 0 if node.op_type == "OneHot" else _put_in(node, fed)


def _picks_rows(node: ir.Node) -> bool:
    """Tell of a GatherND whose indices are one number each, that of a row."""
    shape = None if node.inputs[1] is None else node.inputs[1].shape
    return not node.attributes.get_int("batch_dims", 0) and shape is not None and len(shape) > 0 and shape[-1] == 1


def _put_in(node: ir.Node, fed: set[ir.Value]) -> int | None:
    """Return which input of a scatter says where constants are put into a constant: zeros.scatter_(-1, ids, 1)."""
    data, _, updates = node.inputs
    return 1 if data not in fed and updates not in fed else None


def _encoded(node: ir.Node, fed: set[ir.Value]) -> int | None:
    """Return which input of an Equal is compared with a row of symbols: x == [0, 1, 2, ...] is a one-hot row."""
    slots = [i for i, v in enumerate(node.inputs) if v is not None and v in fed]
    if len(slots) != 1:
        return None
    symbols = node.inputs[1 - slots[0]]
    shape = None if symbols is None else symbols.shape if symbols.shape is not None else symbols.const_value
    sizes = [] if shape is None else list(shape.shape if isinstance(shape, ir.TensorProtocol) else shape)
    own = list(node.inputs[slots[0]].shape or ())  # type: ignore[union-attr]  # it is among the fed
    wide = [-i for i, d in enumerate(reversed(sizes), 1) if d != 1]
    if len(wide) != 1:
        return None
    return slots[0] if len(own) < -wide[0] or own[wide[0]] == 1 else None


def _hands_on(node: ir.Node) -> bool:
    """Tell of a node whose output holds ids where its inputs do: it moves them, or calculates with each by itself."""
    facts = facts_of(node)
    numbers = all(v.dtype != ir.DataType.BOOL for v in node.outputs)
    return numbers and (facts.data in _MOVING or facts.role in _CALCULATING)


def _mark_rows(nodes: list[ir.Node], starts: list[ir.Node]) -> None:
    """Let what is made of one-hot rows carry relevance until it is a floating-point number."""
    rows = {v for node in starts if facts_of(node).one_hot for v in node.outputs}
    for node in nodes:
        facts = facts_of(node)
        takes = facts.data in _MOVING or facts.role in (*_CALCULATING, Role.POOL)
        if takes and not rows.isdisjoint(v for v in node.inputs if v is not None):
            rows.update(v for v in node.outputs if v.dtype is not None and not v.dtype.is_floating_point())
    for value in rows:
        carry_rows(value)


def _is_table(value: ir.Value | None) -> bool:
    """Tell an embedding table (rows of numbers) from a list of sizes."""
    if value is None:
        return False
    shape = value.shape if value.shape is not None else (value.const_value.shape if value.const_value else None)
    return shape is not None and len(shape) > 1


def _fed(model: ir.Model) -> set[ir.Value]:
    """Return every tensor that is computed from an input, from more than its size."""
    fed: set[ir.Value] = {v for v in model.graph.inputs if not v.is_initializer()}
    for node in model.graph:
        if node.op_type != "Shape" and any(v in fed for v in node.inputs if v is not None):
            fed.update(node.outputs)
    return fed
