"""The gradient of a layer summed over positions, where the sum can be taken first: all that the head asks for."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import convolution
from rsp_onnx.rulekit.linear import dense
from rsp_onnx.rulekit.registry import totals


@totals("Conv")
def of_convolution(ctx: Context, node: ir.Node, g: ir.Value, channels: int) -> ir.Value | None:
    """(Σ over positions of g)·W of a 1×1 convolution. g: [K, N, O, *out] → [K, N, C]."""
    c = convolution(ctx, node)
    if not c.window.plain or c.group != 1 or c.channels != channels or ctx.graph.active(node.inputs[1]):
        return None
    weight = ctx.op.Reshape(ctx.read(node.inputs[1]), [c.filters, c.channels])
    return ctx.op.MatMul(ctx.op.ReduceSum(g, list(range(3, 3 + c.window.axes)), keepdims=0), weight)


@totals("MatMul", "Gemm")
def of_dense(ctx: Context, node: ir.Node, g: ir.Value, channels: int) -> ir.Value | None:
    """g·(Σ over positions of W)ᵀ of a layer on flattened maps. g: [K, N, O] → [K, N, C]."""
    layer = dense(ctx, node)
    if layer is None or layer.slot != 0 or not layer.flat or ctx.attr(node, "transA", 0):
        return None
    weight, features = ctx.constant(layer.weight), ctx.sizes(node.inputs[0])[-1]
    if weight is None or features % channels:
        return None
    rows = weight if layer.transposed else weight.T
    summed = rows.reshape(len(rows), channels, -1).sum(axis=2, dtype=np.float64)
    return ctx.op.MatMul(g, summed * layer.scale)
