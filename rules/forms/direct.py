"""The form for one class of one sample: G is the weight of a Conv, and goes back through its transpose."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import adjoint_convolve, convolve
from rsp_onnx.rulekit.numerics import bias_for, sign_of_rows, sign_pairs, stack_signs, swap

from .form import Form, Layer
from .unfold import unfold


def _applies(layer: Layer) -> bool:
    return layer.alone and not layer.rows and not layer.depthwise and not layer.c.window.pointwise


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    fields, rows = c.channels * layer.volume * places, c.filters * places
    operations = 12 * fields * c.filters // c.group
    return operations, 4 * (6 * fields + 11 * rows + 3 * c.channels * layer.sources), 4 * (2 * fields + 6 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """G = R₂Xᵀ from the receptive fields, Z = x*G + bias, C = x ⊙ convᵀ(R₂⊘Z, ±G)."""
    op, c, w = ctx.op, layer.c, layer.c.window
    filters, depth = c.filters // c.group, c.channels // c.group
    fields, bias = unfold(op, x, c), bias_for(op, x)
    if c.group == 1:
        rows = op.Reshape(sign_pairs(op, r, filters, layer.positions), [2 * filters, layer.positions])
        fields = op.Reshape(fields, [depth * layer.volume, layer.positions])
        g = op.Gemm(rows, fields, transB=1)
        weight = op.Reshape(g, [2 * c.filters, depth, *w.kernel])
        s = op.Reshape(op.Div(rows, op.Gemm(g, fields, bias)), [1, 2 * c.filters, *w.out])
    else:
        rows = stack_signs(op, op.Reshape(r, [1, c.group, filters, layer.positions]), 2)
        g = op.MatMul(rows, swap(op, fields, 4))
        weight = op.Reshape(g, [2 * c.filters, depth, *w.kernel])
        z = convolve(op, x, weight, w, c.group, op.Expand(bias, [2 * c.filters]))
        s = op.Div(op.Reshape(rows, [1, 2 * c.filters, *w.out]), z)
    sign = np.tile(sign_of_rows(filters, layer.factor, *[1] * (1 + w.axes)), (c.group, *[1] * (1 + w.axes)))
    back = adjoint_convolve(op, s, op.Mul(weight, sign), w, c.group)
    return ctx.part(op.Mul(back, x), c.channels, *w.size)


DIRECT = Form("direct", _applies, _count, _emit)
