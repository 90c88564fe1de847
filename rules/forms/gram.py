"""The form for small, deep maps: products of pixels instead of receptive fields (rsp.md §6)."""

from __future__ import annotations

import math

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Window
from rsp_onnx.rulekit.numerics import add_all, cut, divide_sum, largest, pad, sign_of_rows, stack_signs, swap

from .form import Form, Layer


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places, sources = layer.c, layer.positions, layer.sources
    rows, square = c.filters * places, c.group * max(places, sources) ** 2
    operations = 2 * sources**2 * 2 * c.channels + 2 * places**2 * 4 * c.filters
    copies = 0 if c.window.plain else 6 * sum(c.window.kernel) * square
    return operations, 4 * (copies + 17 * rows + 3 * c.channels * sources), 4 * (3 * square + 6 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """Γ = box(xᵀx), Z = R₂Γ, C = x ⊙ (x·boxᵀ(R₂ᵀS)). Γ does not depend on R: all targets share it.

    C is the same for any multiple of x: the largest is made 1, so that no square overflows.
    """
    op, c, w = ctx.op, layer.c, layer.c.window
    filters, side = c.filters // c.group, math.prod(w.size)
    pixels = op.Div(op.Reshape(x, [-1, c.group, c.channels // c.group, side]), largest(op, x, range(1, 2 + w.axes)))
    box = op.MatMul(swap(op, pixels, 4), pixels)
    if not w.plain:
        box = op.Reshape(_box(op, box, w), [-1, c.group, layer.positions, layer.positions])
    rows = stack_signs(op, ctx.part(r, c.group, filters, layer.positions), 3)
    s = divide_sum(op, rows, op.MatMul(rows, box), op.bias)
    mixed = op.MatMul(swap(op, op.Mul(rows, sign_of_rows(filters, layer.factor, 1)), 5), s)
    if not w.plain:
        mixed = ctx.part(_spread_box(op, mixed, w), c.group, side, side)
    return ctx.part(op.Mul(op.MatMul(pixels, mixed), pixels), c.channels, *w.size)


GRAM = Form("gram", lambda layer: not layer.rows, _count, _emit)


def _box(op: Emitter, products: ir.Value, w: Window) -> ir.Value:
    """Γ[p, q] = Σ_shifts g[p + shift, q + shift] over the kernel, axis by axis: both of its axes shift together."""
    after = [max(a, 0) for a in w.after]
    for i in range(w.axes):
        between = math.prod(w.size[i + 1 :]) * math.prod(w.out[:i])
        both = op.Reshape(products, [-1, w.size[i], between, w.size[i], math.prod(w.size[i + 1 :])])
        both = pad(op, both, [0, w.before[i], 0, w.before[i], 0], [0, after[i], 0, after[i], 0])
        starts = [k * w.dilations[i] for k in range(w.kernel[i])]
        products = add_all(
            op, [_cut_both(op, both, s, (w.out[i] - 1) * w.strides[i] + 1, w.strides[i]) for s in starts]
        )
    return products


def _cut_both(op: Emitter, v: ir.Value, start: int, size: int, step: int) -> ir.Value:
    return op.Slice(v, [start, start], [start + size, start + size], [1, 3], [step, step])


def _spread_box(op: Emitter, between: ir.Value, w: Window) -> ir.Value:
    """Adjoint of ``_box``: [..., P, P] → [..., |size|, |size|]."""
    for i in range(w.axes):
        middle = math.prod(w.out[i + 1 :]) * math.prod(w.size[:i])
        v = _spread(op, between, w.out[i], middle, math.prod(w.out[i + 1 :]), w.strides[i])
        span, terms = max(w.span[i], w.before[i] + w.size[i]), []
        for k in range(w.kernel[i]):
            shift = k * w.dilations[i]
            behind = span - shift - ((w.out[i] - 1) * w.strides[i] + 1)
            terms.append(pad(op, v, [0, shift, 0, shift, 0], [0, behind, 0, behind, 0]))
        between = add_all(op, terms)
        if w.before[i] or span != w.size[i]:
            between = cut(op, cut(op, between, 1, w.before[i], w.size[i]), 3, w.before[i], w.size[i])
    return between


def _spread(op: Emitter, v: ir.Value, out: int, middle: int, behind: int, stride: int) -> ir.Value:
    """[-1, out, middle, out, behind] with stride − 1 zeros between the entries of both of an axis' places."""
    if stride > 1:
        v = op.Pad(op.Reshape(v, [-1, 1, middle * out * behind]), [0, 0, 0, 0, stride - 1, 0])
        v = op.Pad(op.Reshape(v, [-1, 1, behind]), [0, 0, 0, 0, stride - 1, 0])
    v = op.Reshape(v, [-1, out * stride, middle, out * stride, behind])
    length = (out - 1) * stride + 1
    return v if stride == 1 else op.Slice(v, [0, 0], [length, length], [1, 3])
