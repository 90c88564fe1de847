"""Dense layers per position, channels last: the rule of a 1×1 convolution without moving an axis (rsp.md §6)."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import bias_for, divide_sum, largest, sign_of_rows, stack_signs, swap

from .form import Form, Layer


def _count_products(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    rows, sources = c.filters * places, c.channels * places
    return 12 * sources * c.filters // c.group, 4 * (14 * rows + 3 * sources), 4 * (sources + 6 * rows)


def _products(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    op, rows = ctx.op, stack_signs(ctx.op, r, 4)
    g = op.MatMul(swap(op, rows, 5), x)
    s = divide_sum(op, rows, op.MatMul(x, swap(op, g, 5)), bias_for(op, x, [1, 2, 3]))
    signed = op.Mul(g, sign_of_rows(layer.c.filters // layer.c.group, layer.factor, 1))
    return op.Mul(op.MatMul(s, signed), x)


def _count_gram(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    rows, square = c.filters * places, c.group * places**2
    return 2 * places**2 * (2 * c.channels + 4 * c.filters), 4 * (17 * rows), 4 * (2 * square + 6 * rows)


def _gram(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    op, rows = ctx.op, stack_signs(ctx.op, r, 4)
    x = op.Div(x, largest(op, x, [1, 2, 3]))  # C is the same for any multiple of x, and no square overflows
    between = op.MatMul(x, swap(op, x, 4))
    s = divide_sum(op, rows, op.MatMul(between, rows), op.bias)
    signed = op.Mul(rows, sign_of_rows(layer.c.filters // layer.c.group, layer.factor))
    return op.Mul(op.MatMul(op.MatMul(s, swap(op, signed, 5)), x), x)


PRODUCTS = Form("unfold", lambda layer: layer.rows, _count_products, _products)
GRAM_OF_ROWS = Form("gram", lambda layer: layer.rows, _count_gram, _gram)
