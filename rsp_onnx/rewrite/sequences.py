"""Sequences of tensors, as scripted loops fill and read them: resolved to the tensors they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import Data, Role, Sign, facts_of, op_facts

from .recurrent import split_steps
from .registry import Constant

op_facts(
    "SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceErase", "SplitToSequence", "SequenceMap",
    role=Role.OTHER, data=Data.JOINS, sign=Sign.ANY, writes_sequence=True,
)  # fmt: skip


class Sequences:
    """What is known of the sequences of a model: which tensors each holds, in order."""

    def __init__(self, emitter: Callable[[], Emitter], constant: Constant) -> None:
        self._emitter = emitter
        self._constant = constant
        self._items: dict[ir.Value, list[ir.Value]] = {}

    def resolve(self, node: ir.Node) -> Sequence[ir.Value] | None:
        """Note what a node writes into a sequence, or return what it reads.

        Raises
        ------
        CannotExpandError
            The sequence, or the place in it, is not known before run time.
        """
        if facts_of(node).writes_sequence:
            self._items[node.outputs[0]] = self._written(node)
            return None
        items = self._held(node)
        if node.op_type == "SequenceLength":
            return [self._emitter().constant(np.asarray(len(items), np.int64))]
        if node.op_type == "SequenceAt":
            return [items[self._place(node, 1, len(items) - 1)]]
        return [self._joined(node, items)]

    def held(self, value: ir.Value | None) -> list[ir.Value] | None:
        """Return the tensors a sequence holds; None for a tensor, or where that is not known before run time."""
        return None if value is None else self._items.get(value)

    def note(self, value: ir.Value, items: list[ir.Value]) -> None:
        """Note which tensors a sequence holds."""
        self._items[value] = items

    def _written(self, node: ir.Node) -> list[ir.Value]:
        if node.op_type == "SequenceEmpty":
            return []
        if node.op_type == "SequenceConstruct":
            return [v for v in node.inputs if v is not None]
        if node.op_type == "SplitToSequence":
            return self._split(node)
        items = list(self._held(node))
        if node.op_type == "SequenceErase":
            del items[self._place(node, 1, len(items) - 1)]
        else:
            items.insert(self._place(node, 2, len(items)), cast("ir.Value", node.inputs[1]))
        return items

    def _held(self, node: ir.Node) -> list[ir.Value]:
        source = node.inputs[0]
        if source is None or source not in self._items:
            raise CannotExpandError("what its sequence holds is not known before run time")
        return self._items[source]

    def _place(self, node: ir.Node, slot: int, last: int) -> int:
        """Return the place an input names, the last one by default; negative ones count from the end."""
        value = node.inputs[slot] if len(node.inputs) > slot else None
        if value is None:
            return last
        known = self._constant(value)
        if known is None:
            raise CannotExpandError(f"the place {value.name!r} in its sequence is computed from the input")
        place = int(known.reshape(-1)[0])
        return place + last + (node.op_type != "SequenceInsert") if place < 0 else place

    def _split(self, node: ir.Node) -> list[ir.Value]:
        source, op = cast("ir.Value", node.inputs[0]), self._emitter()
        axis = cast("int", attribute(node, "axis", 0))
        size = None if source.shape is None else source.shape[axis]
        if not isinstance(size, int):
            raise CannotExpandError(f"the length of {source.name!r} is not known; give it with input_shapes")
        given = node.inputs[1] if len(node.inputs) > 1 else None
        if given is None:
            items = split_steps(op, source, size, axis)
            return items if attribute(node, "keepdims", 1) else [op.Squeeze(v, [axis]) for v in items]
        parts = self._constant(given)
        if parts is None:
            raise CannotExpandError(f"its parts {given.name!r} are computed from the input")
        if parts.ndim == 0 and int(parts) == 1:  # the runtime takes it for no split at all, as torch means it
            items = split_steps(op, source, size, axis)
            return items if attribute(node, "keepdims", 1) else [op.Squeeze(v, [axis]) for v in items]
        if parts.ndim == 0:
            whole, rest = divmod(size, int(parts))
            parts = np.array([int(parts)] * whole + [rest] * bool(rest))
        return list(op.emit_many("Split", source, parts.tolist(), outputs=len(parts), axis=axis))

    def _joined(self, node: ir.Node, items: list[ir.Value]) -> ir.Value:
        if not items:
            raise CannotExpandError("its sequence is empty")
        op, axis = self._emitter(), cast("int", attribute(node, "axis", 0))
        if attribute(node, "new_axis", 0):
            items = [op.Unsqueeze(v, [axis]) for v in items]
        return op.Concat(*items, axis=axis)
