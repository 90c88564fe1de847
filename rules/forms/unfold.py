"""The form for every kernel, stride, dilation and group: receptive fields written out (rsp.md §6)."""

from __future__ import annotations

import math

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Convolution, Window
from rsp_onnx.rulekit.numerics import bias_for, cut, divide_sum, pad, sign_of_rows, stack_signs, swap

from ..shared.windows import overlay
from .form import Form, Layer


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    fields, rows = c.channels * layer.volume * places, c.filters * places
    copies = 0 if c.window.plain else 6 * fields
    operations = 12 * fields * c.filters // c.group
    return operations, 4 * (copies + 14 * rows + 3 * c.channels * layer.sources), 4 * (2 * fields + 6 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """G = R₂Xᵀ, Z = GX, C = x ⊙ fold(GᵀS) with X the receptive fields [N, g, C/g·k, P], R₂ [K, N, g, 2·O/g, P]."""
    op, c = ctx.op, layer.c
    fields = unfold(op, x, c)
    filters = c.filters // c.group
    rows = stack_signs(op, ctx.part(r, c.group, filters, layer.positions), 3)
    g = op.MatMul(rows, swap(op, fields, 4))
    s = divide_sum(op, rows, op.MatMul(g, fields), bias_for(op, x, range(1, 2 + c.window.axes)))
    back = op.MatMul(swap(op, op.Mul(g, sign_of_rows(filters, layer.factor, 1)), 5), s)
    return op.Mul(fold(ctx, back, c.window, c.channels), x)


UNFOLD = Form("unfold", lambda layer: not layer.rows, _count, _emit)


def unfold(op: Emitter, x: ir.Value, c: Convolution) -> ir.Value:
    """Gather the receptive fields by shifted Slices, the last axis first: [N, C, *size] → [N, g, C/g·k, P]."""
    w = c.window
    x = pad(op, x, [0, 0, *w.before], [0, 0, *[max(a, 0) for a in w.after]])
    sizes = [n + b + max(a, 0) for n, b, a in zip(w.size, w.before, w.after, strict=True)]
    for i in reversed(range(w.axes)):
        gathered, inner = math.prod(w.kernel[i + 1 :]), math.prod(w.out[i + 1 :])
        if (w.kernel[i], w.strides[i], sizes[i]) == (1, 1, w.out[i]):
            continue
        view = op.Reshape(x, [-1, gathered * math.prod(sizes[:i]), sizes[i], inner])
        taken = [cut(op, view, 2, k * w.dilations[i], w.out[i], w.strides[i]) for k in range(w.kernel[i])]
        x = op.Concat(*(op.Unsqueeze(t, [1]) for t in taken), axis=1) if len(taken) > 1 else taken[0]
    return op.Reshape(x, [-1, c.group, c.channels // c.group * math.prod(w.kernel), math.prod(w.out)])


def fold(ctx: Context, v: ir.Value, w: Window, channels: int) -> ir.Value:
    """Adjoint of ``unfold``: [K, N, g, C/g·k, P] → [K, N, C, *size], each entry added where it was taken from."""
    covered: list[int] = []
    for i in reversed(range(w.axes)) if not w.plain else ():
        covered.insert(0, max(w.span[i], w.before[i] + w.size[i]))
        v = _fold_axis(ctx.op, v, w, i, covered)
    if not covered:
        return ctx.part(v, channels, *w.size)
    if any(b or length != n for b, length, n in zip(w.before, covered, w.size, strict=True)):
        v = ctx.op.Reshape(v, [-1, *covered])
        for i in range(w.axes):
            if w.before[i] or covered[i] != w.size[i]:
                v = cut(ctx.op, v, 1 + i, w.before[i], w.size[i])
    return ctx.part(v, channels, *w.size)


def _fold_axis(op: Emitter, v: ir.Value, w: Window, i: int, covered: list[int]) -> ir.Value:
    """Fold kernel axis i into its spatial axis: […, k_0..k_i, o_0..o_i, *behind] → the same without k_i, o_i longer."""
    kernel, behind = w.kernel[i], math.prod(covered[1:])
    parts = [v]
    if kernel > 1:
        v = op.Reshape(v, [-1, kernel, math.prod(w.out[:i]) * w.out[i] * behind])
        parts = list(op.emit_many("Split", v, outputs=kernel, axis=1, num_outputs=kernel))
    parts = [op.Reshape(part, [-1, w.out[i], behind]) for part in parts]
    return overlay(op, parts, w.out[i], behind, w.strides[i], w.dilations[i], covered[0])
