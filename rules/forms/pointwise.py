"""The form of a 1×1 convolution for one class of one sample: products of matrices as they lie."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import bias_for, sign_of_rows, sign_pairs, signs

from .form import Form, Layer


def _applies(layer: Layer) -> bool:
    return layer.alone and not layer.rows and layer.c.window.plain and layer.c.group == 1


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    rows, sources = c.filters * places, c.channels * places
    return 12 * sources * c.filters, 4 * (11 * rows + 3 * sources), 4 * (sources + 6 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """G = R₂xᵀ, Z = Gx, C = x ⊙ Gᵀ(R₂⊘Z).

    With more filters than channels R⁺ and R⁻ go apart: adding two results is less than making R₂.
    """
    op, c = ctx.op, layer.c
    pixels = op.Reshape(x, [c.channels, layer.positions])
    bias = bias_for(op, pixels)
    if c.filters > c.channels:
        upper, lower = signs(op, op.Reshape(r, [c.filters, layer.positions]))
        back = _back(op, lower, pixels, bias, -1.0, _back(op, upper, pixels, bias, 1.0))
    else:
        rows = op.Reshape(sign_pairs(op, r, c.filters, layer.positions), [2 * c.filters, layer.positions])
        g = op.Gemm(rows, pixels, transB=1)
        s = op.Div(rows, op.Gemm(g, pixels, bias))
        back = op.Gemm(op.Mul(g, sign_of_rows(c.filters, layer.factor, 1)), s, transA=1)
    return ctx.part(op.Mul(back, pixels), c.channels, *c.window.size)


def _back(
    op: Emitter, side: ir.Value, pixels: ir.Value, bias: ir.Value, sign: float, to: ir.Value | None = None
) -> ir.Value:
    """±Gᵀ(R⊘Z) of one side, added to the other's."""
    g = op.Gemm(side, pixels, transB=1)
    s = op.Div(side, op.Gemm(g, pixels, bias))
    return op.Gemm(g, s, to, transA=1, alpha=sign)


POINTWISE = Form("pointwise", _applies, _count, _emit)
