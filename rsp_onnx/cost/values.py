"""Values of small tensors that depend on sizes and constants alone: what reshapes, slices and loops are told by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.fold import fold_node
from rsp_onnx.graph.nodes import subgraphs

from .table import Shape, Sizes

MOST = 4096  # entries of a tensor whose value may say another's size
_MOST_NUMBERS = 64  # of one that holds no integers


def value_of(value: ir.Value | None, sizes: Sizes, opsets: Mapping[str, int]) -> np.ndarray | None:
    """Return the value of a small tensor that depends on sizes and constants alone; None of any other."""
    if value is None or value in sizes.valueless:
        return None
    if value not in sizes.values:
        _compute(value, sizes, opsets)
    if value not in sizes.values:
        sizes.valueless.add(value)
        return None
    return sizes.values[value]


def _compute(value: ir.Value, sizes: Sizes, opsets: Mapping[str, int]) -> None:
    """Compute the node that writes a tensor, if all it reads can be told."""
    node = value.producer()
    if node is None:
        if value.const_value is not None and value.const_value.size <= MOST:
            sizes.values[value] = value.const_value.numpy()
        return
    if subgraphs(node) or _is_large(value, sizes) or node.domain not in ("", "ai.onnx"):
        return
    source = node.inputs[0] if node.inputs else None
    if node.op_type in ("Shape", "Size"):
        if source in sizes.shapes:
            shape = _shape_of(node, sizes.shapes[source])
            _keep(node, [shape if node.op_type == "Shape" else np.array(shape.prod())], sizes)
        return
    given = [value_of(v, sizes, opsets) for v in node.inputs]
    if all(v is None or a is not None for v, a in zip(node.inputs, given, strict=True)):
        _keep(node, fold_node(node, dict(opsets), given), sizes)


def _is_large(value: ir.Value, sizes: Sizes) -> bool:
    dtype = sizes.types.get(value)
    return sizes.entries(value) > (MOST if dtype is None or dtype.is_integer() else _MOST_NUMBERS)


def _keep(node: ir.Node, found: list[np.ndarray | None], sizes: Sizes) -> None:
    for output, array in zip(node.outputs, found, strict=True):
        if array is not None:
            sizes.put(output, (tuple(array.shape), ir.DataType.from_numpy(array.dtype)))
            if array.size <= MOST:
                sizes.values[output] = array


def _shape_of(node: ir.Node, shape: Shape) -> np.ndarray:
    end = node.attributes.get("end")
    return np.array(shape[node.attributes.get_int("start", 0) : None if end is None else end.as_int()], np.int64)
