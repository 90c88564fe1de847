"""The form of a depthwise convolution for one class of one sample: every channel by itself."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import adjoint_convolve, convolve
from rsp_onnx.rulekit.numerics import bias_for, sign_of_rows, stack_signs, swap

from .form import Form, Layer
from .unfold import unfold


def _applies(layer: Layer) -> bool:
    return layer.alone and not layer.rows and layer.depthwise


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    fields, rows = c.channels * layer.volume * places, c.filters * places
    return 12 * fields, 4 * (6 * fields + 14 * rows), 4 * (2 * fields + 6 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """G = R₂Xᵀ, Z = x*G + bias, C = x ⊙ convᵀ(R₂⊘Z, ±G), the two signs as two filters of one channel."""
    op, c, w = ctx.op, layer.c, layer.c.window
    rows = stack_signs(op, op.Reshape(r, [1, c.group, 1, layer.positions]), 2)
    g = op.MatMul(rows, swap(op, unfold(op, x, c), 4))
    weight = op.Reshape(g, [2 * c.filters, 1, *w.kernel])
    z = convolve(op, x, weight, w, c.group, op.Expand(bias_for(op, x), [2 * c.filters]))
    s = op.Div(op.Reshape(rows, [1, 2 * c.filters, *w.out]), z)
    sign = np.tile(sign_of_rows(1, layer.factor, *[1] * (1 + w.axes)), (c.group, *[1] * (1 + w.axes)))
    back = adjoint_convolve(op, s, op.Mul(weight, sign), w, c.group)
    return ctx.part(op.Mul(back, x), c.channels, *w.size)


DEPTHWISE = Form("depthwise", _applies, _count, _emit)
