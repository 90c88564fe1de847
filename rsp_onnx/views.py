"""Reading the model's tensors: float views that leave the deployed nodes and their bits alone.

ONNX Runtime fuses a node into its consumer only while nobody else reads the tensor between. A backward
pass that reads such a tensor would undo the fusion and change the scores in their last bits. So it reads a
shadow: a second copy of the producing node, told apart by an attribute that changes nothing.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .emit import Emitter
from .graph import STANDARD, Graph

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


class Views:
    """Float views of forward tensors, each emitted once."""

    def __init__(self, op: Emitter, graph: Graph) -> None:
        self._op = op
        self._graph = graph
        self._read: dict[ir.Value, ir.Value] = {}
        self._shadow: dict[ir.Value, ir.Value] = {}

    def read(self, value: ir.Value) -> ir.Value:
        """Return a tensor in the working dtype; quantised ones dequantised, half precision widened."""
        if value not in self._read:
            self._read[value] = self._emit(value)
        return self._read[value]

    def _emit(self, value: ir.Value) -> ir.Value:
        node = value.producer()
        if node is not None and node.op_type == "DequantizeLinear" and self._graph.active(value):
            return self._dequantised(node)
        if self._embeds(value, node):
            return self._op.constant(_floats(self._graph.constant(value)))
        safe = self._safe(value)
        return safe if value.dtype == self._op.type else self._op.Cast(safe, to=int(self._op.type))

    def _embeds(self, value: ir.Value, node: ir.Node | None) -> bool:
        """Tell of a constant that is written again in the working dtype: half precision or quantised weights."""
        rewritten = value.dtype != self._op.type or (node is not None and node.op_type == "DequantizeLinear")
        return rewritten and not self._graph.active(value) and self._graph.constant(value) is not None

    def _dequantised(self, node: ir.Node) -> ir.Value:
        """(q − zero point) · scale, written out: a second DequantizeLinear would break the runtime's int8 fusion."""
        scale, zero = (_floats(self._graph.constant(v)) for v in (node.inputs[1], _slot(node, 2)))
        rank, axis = len(self._graph.dims(node.outputs[0])), node.attributes.get_int("axis", 1)
        shape = [1] * rank
        if scale.size > 1:
            shape[axis] = scale.size
        q = self._op.Cast(node.inputs[0], to=int(self._op.type))
        scale = scale.reshape(shape) if scale.size > 1 else scale.reshape(())
        if zero.any():
            q = self._op.Sub(q, zero.reshape(scale.shape) if zero.size == scale.size else zero)
        return self._op.Mul(q, scale)

    def _safe(self, value: ir.Value) -> ir.Value:
        """Return the tensor itself where reading it disturbs nothing, else its shadow."""
        node = value.producer()
        if node is None or node.op_type not in _SHADOWED or node.domain not in STANDARD or value.is_graph_output():
            return value
        consumers = self._graph.consumers(value)
        if len(consumers) != 1 or consumers[0].op_type not in _FUSING or not self._graph.active(value):
            return value
        if value not in self._shadow:
            shadow = self._copy(node)
            self._shadow[value] = value if shadow is None else shadow
        return self._shadow[value]

    def _copy(self, node: ir.Node) -> ir.Value | None:
        """Emit the node again, on safe inputs; None where the copy would be the same node to the runtime."""
        inputs = [v if v is None or not self._graph.active(v) else self._safe(v) for v in node.inputs]
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


def _floats(array: np.ndarray | None) -> np.ndarray:
    return np.zeros(()) if array is None else np.asarray(array, dtype=np.float64)
