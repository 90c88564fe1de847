"""The z-rule of linear reductions, written once over their gradients."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.nodes import attributes
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide
from rsp_onnx.rulekit.registry import Parts, Rule


def z_rule(ctx: Context, node: ir.Node, r: ir.Value, gradient: Rule) -> Parts:
    """X ⊙ vjp(R⊘Z) with Z = op(X) and X = x + 1e-9, so that a window of zeros still hands its relevance on."""
    op = ctx.op
    x = op.Add(ctx.read(node.inputs[0]), EPSILON)
    (back, *rest) = gradient(ctx, node, safe_divide(op, r, _again(ctx, node, x)))
    assert back is not None
    return [op.Mul(back, x), *rest]


def without_weights(ctx: Context, node: ir.Node, gradient: Rule) -> LinearLayer:
    """Return a sum or mean as a linear layer that has no weights; its gradient is its adjoint."""
    source = cast("ir.Value", node.inputs[0])

    def apply(x: ir.Value, _: ir.Value | None, bias: np.ndarray | None = None) -> ir.Value:
        y = _again(ctx, node, x)
        return y if bias is None else ctx.op.Add(y, bias)

    def adjoint(s: ir.Value, _: ir.Value | None) -> ir.Value:
        return cast("ir.Value", gradient(ctx, node, s)[0])

    return LinearLayer(node, 0, len(node.inputs), source, None, None, apply, adjoint)


def _again(ctx: Context, node: ir.Node, x: ir.Value) -> ir.Value:
    """Emit the node on another activation."""
    same = attributes(node)
    z = ctx.op.emit(node.op_type, x, *node.inputs[1:], **same)
    if same.get("ceil_mode"):  # the runtime's shape inference may count one window too many (shapes.py)
        z = ctx.op.Reshape(z, [-1, *ctx.sizes(node.outputs[0])])
    return z
