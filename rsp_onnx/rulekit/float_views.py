"""Reading the model's tensors as floating-point numbers, whatever they are stored as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import input_at
from rsp_onnx.graph.op_facts import Data, facts_of

_UNSIGNED = (ir.DataType.UINT4, ir.DataType.UINT8, ir.DataType.UINT16)
Number: TypeAlias = "ir.Value | np.ndarray"


@dataclass(frozen=True)
class Quantisation:
    """What integers stand for: (q − zero) · scale, constants or computed from the image; one per channel of ``axis``.

    ``rectifies`` tells that the zero point is the lowest integer: rounding cuts off what is negative, as a ReLU.
    """

    scale: Number
    zero: Number
    axis: int = 1
    rectifies: bool = False


class Views:
    """Float views of forward tensors, each emitted once."""

    def __init__(self, op: Emitter, graph: Graph) -> None:
        self._op = op
        self._graph = graph
        self._transposes = any(node.op_type == "Transpose" for node in graph.nodes)
        self._read: dict[ir.Value, ir.Value] = {}
        self._same: dict[ir.Value, ir.Value] = {}

    def same(self, value: ir.Value, own: ir.Value) -> None:
        """Let whoever reads a value outside the graph read the model's own."""
        self._same[value] = own

    def read(self, value: ir.Value) -> ir.Value:
        """Return a tensor in the working dtype; quantised ones dequantised, half precision widened."""
        value = self._same.get(value, value)
        if value not in self._read:
            self._read[value] = self._emit(value)
        return self._read[value]

    def _emit(self, value: ir.Value) -> ir.Value:
        node = value.producer()
        if node is not None and node.op_type == "DequantizeLinear" and self._graph.active(value):
            return self._dequantised(node)
        if self._embeds(value, node):
            return self._op.constant(_floats(self._constant(value)))
        if (quantised := self.quantisation(value)) is not None:
            return self._real(value, quantised)
        return value if value.dtype == self._op.type else self._widened(value)

    def _widened(self, value: ir.Value) -> ir.Value:
        """Return numbers of another type as floats.

        Where a Cast stands between a Transpose and a MatMul, ONNX Runtime's MatmulTransposeFusion swaps the two before
        it knows whether it can fuse. Where it cannot, it leaves a graph whose edges are missing, and its next pass ends
        the process with a segmentation fault (seen in 1.31). It moves a Transpose from far above to the Cast, so where
        the model has any, a maximum with −∞, which changes nothing, stands between the Cast and who reads it.
        """
        wide = self._op.Cast(value, to=int(self._op.type))
        return self._op.Max(wide, -np.inf) if self._transposes else wide

    def _constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return a constant's value; None at once for what a node makes of the input, such as a scale found there.

        Nothing flows through a scale, so the graph does not have it as active, and would look for its value up to the
        model's input.
        """
        node = None if value is None else value.producer()
        return None if node is not None and self._graph.active_inputs(node) else self._graph.constant(value)

    def _embeds(self, value: ir.Value, node: ir.Node | None) -> bool:
        """Tell of a constant that is written again in the working dtype: half precision, quantised, a stand-in's."""
        loose = value.producer() is None and value.graph is None
        rewritten = loose or value.dtype != self._op.type or (node is not None and node.op_type == "DequantizeLinear")
        return rewritten and not self._graph.active(value) and self._constant(value) is not None

    def _dequantised(self, node: ir.Node) -> ir.Value:
        """(q − zero point) · scale, written out: a reader of the node's own output would break an int8 fusion."""
        q = node.inputs[0]
        assert q is not None
        if self._constant(input_at(node, 1)) is None:
            by = self._at_run_time(node, 1)
            return self._op.Mul(self._centred(q, by), by.scale)
        sizes = self._graph.dims(q)
        scale, zero = (_unblocked(node, _floats(self._constant(input_at(node, i))), sizes) for i in (1, 2))
        return self._scaled(q, Quantisation(scale, zero, node.attributes.get_int("axis", 1)))

    def _scaled(self, q: ir.Value, by: Quantisation) -> ir.Value:
        """(q − zero) · scale for constants."""
        assert isinstance(by.scale, np.ndarray) and isinstance(by.zero, np.ndarray)
        shape = [1] * len(self._graph.dims(q))
        if by.scale.ndim > 1:  # blocks
            shape = list(by.scale.shape)
        elif by.scale.size > 1:
            shape[by.axis] = by.scale.size
        real = self._widened(q)
        scale = by.scale.reshape(shape) if by.scale.size > 1 else by.scale.reshape(())
        if by.zero.any():
            zero = by.zero.reshape(scale.shape) if by.zero.size == scale.size else by.zero
            real = self._op.Sub(real, zero)
        return self._op.Mul(real, scale)

    def _real(self, value: ir.Value, by: Quantisation) -> ir.Value:
        """Return integers as the numbers they stand for."""
        if isinstance(by.scale, np.ndarray):
            return self._scaled(value, by)
        return self._op.Mul(self._centred(value, by), by.scale)

    def _centred(self, value: ir.Value, by: Quantisation) -> ir.Value:
        """Return q − zero."""
        return self._op.Sub(self._widened(value), by.zero)

    def quantisation(self, value: ir.Value) -> Quantisation | None:
        """Return the scale and zero point of a tensor of integers, as the op that wrote them has it; else None."""
        if (value.dtype is not None and value.dtype.is_floating_point()) or not self._graph.active(value):
            return None
        node = value.producer()
        while node is not None and facts_of(node).moves and facts_of(node).data is not Data.QUANTISES:
            source = self._graph.active_inputs(node)[0]
            node = source.producer()
        if node is None:
            return None
        if node.op_type == "DynamicQuantizeLinear":
            return Quantisation(self.read(node.outputs[1]), self.read(node.outputs[2]))
        slot = facts_of(node).output_scale
        if slot is None:
            return None
        scale, zero = (self._constant(input_at(node, i)) for i in (slot, slot + 1))
        if scale is None:
            return self._at_run_time(node, slot) if node.op_type == "QuantizeLinear" else None
        axis, sizes = node.attributes.get_int("axis", 1) if scale.size > 1 else 1, self._graph.dims(node.outputs[0])
        real = [_unblocked(node, _floats(a), sizes) for a in (scale, zero)]
        return Quantisation(real[0], real[1], axis, _is_lowest(zero, node.outputs[0].dtype))

    def _at_run_time(self, node: ir.Node, slot: int) -> Quantisation:
        """Return one scale and zero point for a whole tensor, which nodes of the model's own compute."""
        scale, zero = (input_at(node, i) for i in (slot, slot + 1))
        assert scale is not None
        return Quantisation(self.read(scale), np.zeros(()) if zero is None else self.read(zero))


def _is_lowest(zero: np.ndarray | None, kind: ir.DataType | None) -> bool:
    """Tell whether a zero point, 0 where there is none, is the lowest integer of its type: of uint8's unless known."""
    if zero is None:
        return kind is None or kind in _UNSIGNED
    return zero.dtype.kind in "iu" and bool((zero == np.iinfo(zero.dtype).min).all())


def _unblocked(node: ir.Node, array: np.ndarray, sizes: tuple[int | None, ...]) -> np.ndarray:
    """Write one number per block along an axis out as one per entry; other arrays pass."""
    size = node.attributes.get_int("block_size", 0)
    if not size or array.ndim < 2:
        return array
    axis = node.attributes.get_int("axis", 1) % array.ndim
    return np.repeat(array, size, axis).take(np.arange(sizes[axis] or 0), axis)


def _floats(array: np.ndarray | None) -> np.ndarray:
    return np.zeros(()) if array is None else np.asarray(array, dtype=np.float64)
