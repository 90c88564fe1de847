"""The form of a depthwise convolution for one class of one sample: every channel by itself, nothing unfolded."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Convolution, adjoint_convolve, convolve
from rsp_onnx.rulekit.numerics import bias_for, cut, pad, sign_of_rows, stack_signs

from .form import Form, Layer


def _applies(layer: Layer) -> bool:
    return layer.alone and not layer.rows and layer.depthwise


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    fields, rows = c.channels * layer.volume * places, c.filters * places
    return 12 * fields, 4 * (5 * fields + 14 * rows), 4 * ((3 + c.window.kernel[-1]) * rows + 3 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """G = R₂·x entry by entry of the kernel, Z = x*G + bias, C = x ⊙ convᵀ(R₂⊘Z, ±G).

    The two signs are two filters of one channel.
    """
    op, c, w = ctx.op, layer.c, layer.c.window
    rows = stack_signs(op, op.Reshape(r, [c.channels, 1, layer.positions]), 1)
    entries = [op.MatMul(rows, seen) for seen in _seen(op, x, c, layer.positions)]
    g = op.Concat(*entries, axis=2) if len(entries) > 1 else entries[0]
    weight = op.Reshape(g, [2 * c.filters, 1, *w.kernel])
    z = convolve(op, x, weight, w, c.group, op.Expand(bias_for(op, x), [2 * c.filters]))
    s = op.Div(op.Reshape(rows, [1, 2 * c.filters, *w.out]), z)
    sign = np.tile(sign_of_rows(1, layer.factor, *[1] * (1 + w.axes)), (c.group, *[1] * (1 + w.axes)))
    back = adjoint_convolve(op, s, op.Mul(weight, sign), w, c.group)
    return ctx.part(op.Mul(back, x), c.channels, *w.size)


def _seen(op: Emitter, x: ir.Value, c: Convolution, positions: int) -> list[ir.Value]:
    """Return what each entry of the kernel meets at every position, [C, P, 1] each, in the order of the entries.

    The last axis is cut first, once for all: what is cut from it after that lies in one piece.
    """
    w = c.window
    done: dict[tuple[int, ...], ir.Value] = {(): pad(op, x, [0, 0, *w.before], [0, 0, *[max(a, 0) for a in w.after]])}
    for axis in reversed(range(w.axes)):
        done = {
            (k, *behind): cut(op, known, 2 + axis, k * w.dilations[axis], w.out[axis], w.strides[axis])
            for behind, known in done.items()
            for k in range(w.kernel[axis])
        }
    return [op.Reshape(done[entry], [c.channels, positions, 1]) for entry in product(*map(range, w.kernel))]


DEPTHWISE = Form("depthwise", _applies, _count, _emit)
