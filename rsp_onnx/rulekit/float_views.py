"""Reading the model's tensors: float views that leave the deployed nodes and their bits alone.

ONNX Runtime fuses a node into its consumer only while nobody else reads the tensor between. A backward
pass that reads such a tensor would undo the fusion and change the scores in their last bits. So it reads a
shadow: a second copy of the producing node, told apart by an attribute that changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.dag import STANDARD, Graph
from rsp_onnx.graph.emit import Emitter

_SHADOWED = {"Conv", "ConvTranspose", "BatchNormalization", "Mul", "Add", "Sub", "Div"}
_FUSING = {
    "Add",
    "Sum",
    "Sub",
    "Mul",
    "Div",
    "BatchNormalization",
    "Clip",
    "Relu",
    "Sigmoid",
    "QuantizeLinear",
}
# in which input an op that writes integers takes their scale; the zero point is the next
_SCALE_SLOT = {
    "QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QGemm": 7, "QLinearAdd": 6, "QLinearMul": 6,
    "QLinearConcat": 0, "QLinearGlobalAveragePool": 3, "QLinearAveragePool": 3, "QLinearSigmoid": 3,
    "QLinearLeakyRelu": 3, "QLinearSoftmax": 3,
}  # fmt: skip
_UNSIGNED = (ir.DataType.UINT4, ir.DataType.UINT8, ir.DataType.UINT16)
_MOVING = {"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather", "Expand",
           "Pad", "Concat", "Identity", "DepthToSpace", "SpaceToDepth"}  # fmt: skip
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
        self._read: dict[ir.Value, ir.Value] = {}
        self._shadow: dict[ir.Value, ir.Value] = {}
        self._same: dict[ir.Value, ir.Value] = {}
        self._dynamic: dict[ir.Node, Quantisation] = {}

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
            return self._op.constant(_floats(self._graph.constant(value)))
        if (quantised := self.quantisation(value)) is not None:
            return self._real(value, quantised)
        safe = self._safe(value)
        return safe if value.dtype == self._op.type else self._op.Cast(safe, to=int(self._op.type))

    def _embeds(self, value: ir.Value, node: ir.Node | None) -> bool:
        """Tell of a constant that is written again in the working dtype: half precision, quantised, a stand-in's."""
        loose = value.producer() is None and value.graph is None
        rewritten = loose or value.dtype != self._op.type or (node is not None and node.op_type == "DequantizeLinear")
        return rewritten and not self._graph.active(value) and self._graph.constant(value) is not None

    def _dequantised(self, node: ir.Node) -> ir.Value:
        """(q − zero point) · scale, written out: a second DequantizeLinear would break the runtime's int8 fusion."""
        q = node.inputs[0]
        assert q is not None
        if self._graph.constant(_slot(node, 1)) is None:
            by = self._at_run_time(node, 1)
            return self._op.Mul(self._centred(q, by), by.scale)
        sizes = self._graph.dims(q)
        scale, zero = (_unblocked(node, _floats(self._graph.constant(_slot(node, i))), sizes) for i in (1, 2))
        return self._scaled(q, Quantisation(scale, zero, node.attributes.get_int("axis", 1)))

    def _scaled(self, q: ir.Value, by: Quantisation) -> ir.Value:
        """(q − zero) · scale for constants."""
        assert isinstance(by.scale, np.ndarray) and isinstance(by.zero, np.ndarray)
        shape = [1] * len(self._graph.dims(q))
        if by.scale.ndim > 1:  # blocks
            shape = list(by.scale.shape)
        elif by.scale.size > 1:
            shape[by.axis] = by.scale.size
        real = self._op.Cast(q, to=int(self._op.type))
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
        """Return q − zero, written out from what a DynamicQuantizeLinear rounds."""
        op, node = self._op, value.producer()
        if node is not None and node.op_type == "DynamicQuantizeLinear" and node.inputs[0] is not None:
            q = op.Clip(op.Add(op.Round(op.Div(self.read(node.inputs[0]), by.scale)), by.zero), 0.0, 255.0)
        else:
            q = op.Cast(value, to=int(op.type))
        return op.Sub(q, by.zero)

    def _integer_product(self, node: ir.Node) -> ir.Value:
        """Return what a MatMulInteger computes, written out in floats: the runtime fuses it with what scales it."""
        factors: list[ir.Value | np.ndarray] = []
        for slot in (0, 1):
            value = node.inputs[slot]
            assert value is not None
            found = self.quantisation(value)
            if found is not None:
                factors.append(self._centred(value, found))
            else:
                factors.append(
                    _floats(self._graph.constant(value)) - _floats(self._graph.constant(_slot(node, slot + 2)))
                )
        return self._op.MatMul(*factors)

    def quantisation(self, value: ir.Value) -> Quantisation | None:
        """Return the scale and zero point of a tensor of integers, as the op that wrote them has it; else None."""
        if (value.dtype is not None and value.dtype.is_floating_point()) or not self._graph.active(value):
            return None
        node = value.producer()
        while node is not None and node.op_type in _MOVING:
            source = self._graph.active_inputs(node)[0]
            node = source.producer()
        if node is None:
            return None
        if node.op_type == "DynamicQuantizeLinear":
            return self._of_image(node)
        slot = _SCALE_SLOT.get(node.op_type, len(node.inputs))
        scale, zero = (self._graph.constant(_slot(node, i)) for i in (slot, slot + 1))
        if scale is None:
            return self._at_run_time(node, slot) if node.op_type == "QuantizeLinear" else None
        axis, sizes = node.attributes.get_int("axis", 1) if scale.size > 1 else 1, self._graph.dims(node.outputs[0])
        real = [_unblocked(node, _floats(a), sizes) for a in (scale, zero)]
        return Quantisation(real[0], real[1], axis, _is_lowest(zero, node.outputs[0].dtype))

    def _at_run_time(self, node: ir.Node, slot: int) -> Quantisation:
        """Return one scale and zero point for a whole tensor, which nodes of the model's own compute."""
        scale, zero = (_slot(node, i) for i in (slot, slot + 1))
        assert scale is not None
        return Quantisation(self.read(scale), np.zeros(()) if zero is None else self.read(zero))

    def _of_image(self, node: ir.Node) -> Quantisation:
        """Return the scale and zero point a DynamicQuantizeLinear finds, written out.

        A reader of the node's own outputs would keep the runtime from fusing it with the product behind it.
        """
        if node not in self._dynamic:
            op, source = self._op, node.inputs[0]
            assert source is not None
            x = self.read(source)
            low, high = (op.Min(op.ReduceMin(x, keepdims=0), 0.0), op.Max(op.ReduceMax(x, keepdims=0), 0.0))
            found = op.Div(op.Sub(high, low), 255.0)
            scale = op.Where(op.Greater(found, 0.0), found, 1.0)
            self._dynamic[node] = Quantisation(scale, op.Round(op.Clip(op.Div(op.Neg(low), scale), 0.0, 255.0)))
        return self._dynamic[node]

    def _safe(self, value: ir.Value) -> ir.Value:
        """Return the tensor itself where reading it disturbs nothing, else its shadow."""
        node = value.producer()
        if node is not None and node.op_type == "DynamicQuantizeLinear" and value is not node.outputs[0]:
            found = self._of_image(node)
            statistic = found.scale if value is node.outputs[1] else found.zero
            assert isinstance(statistic, ir.Value)
            return statistic
        if node is not None and (product := self._fused_product(node)) is not None:
            if value not in self._shadow:
                self._shadow[value] = self._integer_product(product)
            return self._shadow[value]
        if node is None or node.op_type not in _SHADOWED or node.domain not in STANDARD or value.is_graph_output():
            return value
        consumers = self._graph.consumers(value)
        if self._graph.active(value):
            if len(consumers) != 1 or consumers[0].op_type not in _FUSING:
                return value
        elif self._graph.constant(value) is not None:
            return value
        if value not in self._shadow:
            shadow = self._copy(node)
            self._shadow[value] = value if shadow is None else shadow
        return self._shadow[value]

    def _fused_product(self, node: ir.Node) -> ir.Node | None:
        """Return the MatMulInteger whose result a Cast turns into floats."""
        source = node.inputs[0].producer() if node.op_type == "Cast" and node.inputs[0] is not None else None
        if source is None or source.op_type != "MatMulInteger":
            return None
        known = [self._graph.constant(v) is not None or self._graph.active(v) for v in source.inputs[:2]]
        return source if all(known) else None

    def _copy(self, node: ir.Node) -> ir.Value | None:
        """Emit the node again, on safe inputs; None where the copy would be the same node to the runtime."""
        inputs = [v if v is None or self._graph.constant(v) is not None else self._safe(v) for v in node.inputs]
        attributes = dict(node.attributes)
        if node.op_type in ("Conv", "ConvTranspose"):
            if attributes.pop("kernel_shape", None) is None:
                kernel = self._graph.constant(node.inputs[1])
                if kernel is None:
                    return None
                attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", list(kernel.shape[2:]))
        elif node.op_type == "BatchNormalization":
            attributes["momentum"] = ir.AttrFloat32("momentum", 0.5)  # read in training only
        elif all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return None
        copy = ir.Node("", node.op_type, inputs, list(attributes.values()), num_outputs=1)
        copy.name = f"rsp_onnx/shadow/{node.outputs[0].name}"
        copy.outputs[0].name, copy.outputs[0].type = copy.name, node.outputs[0].type
        copy.outputs[0].shape = node.outputs[0].shape
        self._op.graph.append(copy)
        return copy.outputs[0]


def _slot(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if len(node.inputs) > index else None


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
