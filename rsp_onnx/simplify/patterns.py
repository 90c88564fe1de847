"""What can be said by fewer nodes, a function per op: exact for every number, NaN and infinities included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import STANDARD


@dataclass(frozen=True)
class Around:
    """What stands around a node: who writes constants, and which nodes may be looked through."""

    op: Emitter
    emitted: frozenset[ir.Node]

    def before(self, value: ir.Value | None) -> ir.Node | None:
        """Return the emitted node of ONNX's own that makes a tensor."""
        node = None if value is None else value.producer()
        return node if node in self.emitted and node is not None and node.domain in STANDARD else None


Shorter: TypeAlias = "Callable[[Around, ir.Node], ir.Value | None]"
_SHORTER: dict[str, Shorter] = {}


def shorter(*op_types: str) -> Callable[[Shorter], Shorter]:
    """Register a function that returns a tensor equal to a node's output, or rewires the node and returns None."""

    def add(function: Shorter) -> Shorter:
        _SHORTER.update(dict.fromkeys(op_types, function))
        return function

    return add


def shortened(around: Around, node: ir.Node) -> ir.Value | None:
    """Return a tensor that equals a node's only output; None where there is none, though it may read another now."""
    find = _SHORTER.get(node.op_type) if node.domain in STANDARD else None
    return None if find is None else find(around, node)


@shorter("Identity")
def same(_: Around, node: ir.Node) -> ir.Value | None:
    """Return x."""
    return node.inputs[0]


@shorter("Reshape")
def reshape(around: Around, node: ir.Node) -> ir.Value | None:
    """Read what stands before other changes of the shape alone: Reshape(Reshape(x, s), t) = Reshape(x, t)."""
    if attribute(node, "allowzero", 0) or not _copies_no_size(around, node.inputs[1]):
        return None
    before = around.before(node.inputs[0])
    while before is not None and _is_shape_alone(before.op_type):
        node.replace_input_with(0, before.inputs[0])
        before = around.before(node.inputs[0])
    return None


def _is_shape_alone(op_type: str) -> bool:
    return op_type in ("Reshape", "Flatten") or op_type.lower().endswith("squeeze")


def _copies_no_size(around: Around, shape: ir.Value | None) -> bool:
    """Tell of a shape without a zero, which would stand for a size of the tensor that is read."""
    known = _constant(shape)
    if known is not None:
        return bool((known != 0).all())
    node = around.before(shape)
    if node is None:
        return False
    parts = node.inputs if node.op_type == "Concat" else []
    return node.op_type == "Shape" or (bool(parts) and all(_copies_no_size(around, part) for part in parts))


@shorter("Transpose")
def transpose(around: Around, node: ir.Node) -> ir.Value | None:
    """Join two of them; one that changes nothing goes."""
    perm = attribute(node, "perm")
    if not isinstance(perm, list):
        return None
    before = around.before(node.inputs[0])
    earlier = None if before is None or before.op_type != "Transpose" else attribute(before, "perm")
    if before is not None and isinstance(earlier, list):
        perm = [earlier[axis] for axis in perm]
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
        node.replace_input_with(0, before.inputs[0])
    return node.inputs[0] if perm == sorted(perm) else None


@shorter("Neg")
def negated(around: Around, node: ir.Node) -> ir.Value | None:
    """Return x for −(−x)."""
    before = around.before(node.inputs[0])
    return before.inputs[0] if before is not None and before.op_type == node.op_type else None


@shorter("Relu", "Abs")
def rectified(around: Around, node: ir.Node) -> ir.Value | None:
    """Return y for [y]₊ or |y|, where y is [x]₊ or |x| already; but |[x]₊| may turn −0 into 0."""
    before = around.before(node.inputs[0])
    return node.inputs[0] if before is not None and before.op_type in (node.op_type, "Abs") else None


@shorter("Mul")
def times_one(_: Around, node: ir.Node) -> ir.Value | None:
    """Return x for x·1 and 1·x."""
    first, second = node.inputs
    return second if _is_number(first, 1) else first if _is_number(second, 1) else None


@shorter("Div")
def by_one(_: Around, node: ir.Node) -> ir.Value | None:
    """Return x for x/1."""
    return node.inputs[0] if _is_number(node.inputs[1], 1) else None


@shorter("Sub")
def minus_nothing(_: Around, node: ir.Node) -> ir.Value | None:
    """Return x for x − 0; x + 0 is not the same, where x is −0."""
    return node.inputs[0] if _is_number(node.inputs[1], 0) else None


@shorter("Shape")
def known_shape(around: Around, node: ir.Node) -> ir.Value | None:
    """Return a shape that is known before run time."""
    source, end = node.inputs[0], attribute(node, "end")
    if source is None or source.shape is None:
        return None
    first = attribute(node, "start", 0)
    assert isinstance(first, int) and (end is None or isinstance(end, int))
    sizes = list(source.shape)[first:end]
    return around.op.constant(np.array(sizes, np.int64)) if all(isinstance(d, int) for d in sizes) else None


@shorter("Concat")
def joined(around: Around, node: ir.Node) -> ir.Value | None:
    """Return a list of whole numbers that are all known; one tensor alone is itself."""
    if len(node.inputs) == 1:
        return node.inputs[0]
    known = [_constant(value) for value in node.inputs]
    lists = [array for array in known if array is not None and array.ndim == 1 and array.dtype == np.int64]
    return around.op.constant(np.concatenate(lists)) if len(lists) == len(known) else None


def _constant(value: ir.Value | None) -> np.ndarray | None:
    if value is None or value.const_value is None or value.is_graph_input() or value.producer() is not None:
        return None
    return value.const_value.numpy()


def _is_number(value: ir.Value | None, number: float) -> bool:
    """Tell of a constant without axes, which gives no other tensor its shape."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return False
    known = _constant(value)
    return known is not None and known.ndim == 0 and bool(known == number)
