"""The z-rule of linear reductions, written once over their gradients."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.context import Context
from rsp_onnx.numerics import EPSILON, safe_divide
from rsp_onnx.registry import Parts, Rule


def z_rule(ctx: Context, node: ir.Node, r: ir.Value, gradient: Rule) -> Parts:
    """X ⊙ vjp(R⊘Z) with Z = op(X) and X = x + 1e-9, so that a window of zeros still hands its relevance on."""
    op = ctx.op
    x = op.Add(ctx.read(node.inputs[0]), EPSILON)
    attributes = {name: a.value for name, a in node.attributes.items() if isinstance(a, ir.Attr)}
    z = op.emit(node.op_type, x, *node.inputs[1:], **attributes)
    if attributes.get("ceil_mode"):  # the runtime's shape inference may count one window too many (shapes.py)
        z = op.Reshape(z, [-1, *ctx.sizes(node.outputs[0])])
    (back, *rest) = gradient(ctx, node, safe_divide(op, r, z))
    assert back is not None
    return [op.Mul(back, x), *rest]
