"""Which tensors cannot be negative, and which not positive: there [X]₊ is X itself, or nothing at all."""

from __future__ import annotations

import onnx_ir as ir

from .dag import Graph

_ALWAYS = {
    "Relu",
    "Sigmoid",
    "HardSigmoid",
    "Softmax",
    "Softplus",
    "Abs",
    "Exp",
    "Sqrt",
    "ReduceL2",
    "ReduceSumSquare",
}
_KEEPING = {
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Concat", "Reshape", "Flatten", "Squeeze",
    "Unsqueeze", "Transpose", "Slice", "Split", "Expand", "Add", "Sum", "Mul", "Identity", "Dropout", "LRN",
    "ReduceMean", "ReduceSum", "ReduceMax", "Gather", "QuantizeLinear", "DequantizeLinear", "Cast",
}  # fmt: skip
_TURNING = {"Mul", "LRN", "QuantizeLinear", "DequantizeLinear"}
_UP_TO_ONE = ("Sigmoid", "HardSigmoid", "Softmax")
_FIRST_ONLY = {"Reshape", "Squeeze", "Unsqueeze", "Slice", "Split", "Expand", "Gather", "Dropout", "QuantizeLinear",
               "DequantizeLinear", "ReduceMean", "ReduceSum", "ReduceMax"}  # fmt: skip


def is_nonnegative(graph: Graph, value: ir.Value | None, _depth: int = 0) -> bool:
    """Tell whether a tensor is known to have no negative entry."""
    if value is None or _depth > 60:
        return False
    if not graph.active(value):
        constant = graph.constant(value)
        return constant is not None and bool((constant >= 0).all())
    node = value.producer()
    if node is None:
        return False
    if node.op_type == "Clip":
        low = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        return low is not None and bool((low >= 0).all())
    if node.op_type in _ALWAYS:
        return True
    if node.op_type == "Pad":
        return _pads_with_nonnegative(graph, node) and is_nonnegative(graph, node.inputs[0], _depth + 1)
    if node.op_type not in _KEEPING:
        return False
    operands = node.inputs[:1] if node.op_type in _FIRST_ONLY else node.inputs
    return all(is_nonnegative(graph, v, _depth + 1) for v in operands)


def is_nonpositive(graph: Graph, value: ir.Value | None, _depth: int = 0) -> bool:
    """Tell whether an activation is known to have no positive entry, such as a log-sigmoid's."""
    if value is None or _depth > 60 or not graph.active(value):
        return False
    node = value.producer()
    if node is None:
        return False
    if node.op_type == "LogSoftmax":
        return True
    if node.op_type == "Neg":
        return is_nonnegative(graph, node.inputs[0], _depth + 1)
    if node.op_type == "Log":
        source = node.inputs[0].producer() if node.inputs[0] is not None else None
        return source is not None and source.op_type in _UP_TO_ONE
    if node.op_type not in _KEEPING - _TURNING:
        return False
    operands = node.inputs[:1] if node.op_type in _FIRST_ONLY else node.inputs
    return all(is_nonpositive(graph, v, _depth + 1) for v in operands)


def _pads_with_nonnegative(graph: Graph, node: ir.Node) -> bool:
    fill = graph.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    return (fill is None and (len(node.inputs) < 3 or node.inputs[2] is None)) or (
        fill is not None and bool((fill >= 0).all())
    )
