"""The form for 3×3 kernels on large maps: Winograd's F(4×4, 3×3), the products in its domain (rsp.md §6).

A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016. A convolution is Y = Aᵀ(GgGᵀ ⊙ BᵀdB)A
per tile; the gradient for its weight and its transpose are the same three matrices the other way round.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import bias_for, sign_of_rows, sign_pairs, swap

from ..shared.branch import either
from .direct import DIRECT
from .form import Form, Layer

_TILE, _PATCH = 4, 6  # outputs a tile computes per axis, inputs it reads
_B = np.array([[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
               [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], float)  # fmt: skip
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], float) / 24
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float)
_FAINTEST = 1e-5  # of the largest |X_p|² around: below, rounding is no longer small beside what it is added to
_FEWEST = 64  # channels: below, what rounding leaves of a small Z is too much (speed.md)


def _applies(layer: Layer) -> bool:
    c, w = layer.c, layer.c.window
    simple = w.kernel == (3, 3) and set(w.strides + w.dilations) == {1} and c.group == 1
    return layer.alone and not layer.rows and simple and c.channels >= _FEWEST and min(w.before + w.after) >= 0


def _count(layer: Layer) -> tuple[int, int, int]:
    c, tiles = layer.c, _tiles(layer)
    products = 2 * 36 * tiles * 2 * c.filters * c.channels * 3
    inputs, outputs = 36 * tiles * c.channels, 36 * tiles * 2 * c.filters
    transforms = 2 * (36 * 2 * inputs + 16 * 3 * outputs) + 2 * 36**2 * 2 * c.filters * c.channels
    rows = c.filters * layer.positions
    traffic = 4 * (3 * inputs + 3 * outputs + 15 * rows + 3 * c.channels * layer.sources)
    return products + transforms, traffic, 4 * (inputs + outputs + 6 * rows)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """In Winograd's domain where the windows beside each other are alike in size, else unfolded.

    What a tile rounds away is as large as its largest S, and S grows as a window's |X_p|² falls: a window a million
    times fainter than its neighbours would drown them in noise.
    """
    squares = _squares(ctx.op, x, layer)
    return either(
        ctx, _even(ctx.op, squares),
        lambda inner: _in_domain(inner, x, r, squares, layer), lambda inner: DIRECT.emit(inner, x, r, layer),
    )  # fmt: skip


def _in_domain(ctx: Context, x: ir.Value, r: ir.Value, squares: ir.Value, layer: Layer) -> ir.Value:
    """U = BᵀxB, V = AR₂Aᵀ, E = ΣVUᵀ, D = (GGᵀ)E(GGᵀ), Z = Aᵀ(DU)A, and back by the transposes.

    Rounding leaves noise where Z should be 0; but Z ≥ R₂·|X_p|² always, X_p the window: S = min(R₂⊘Z, 1/|X_p|²).
    """
    op, c, w = ctx.op, layer.c, layer.c.window
    tiles, filters = _tiles(layer), 2 * c.filters
    rows = op.Reshape(sign_pairs(op, r, c.filters, layer.positions), [1, 1, filters, *w.out])
    maps = op.Reshape(x, [1, 1, c.channels, *w.size])
    u = op.Reshape(_transform(op, maps, _B, _pads(layer)), [36, c.channels, tiles])
    v = op.Reshape(_transform(op, rows, _A.T, _ends(layer)), [36, filters, tiles])
    bias, mixed = bias_for(op, x), np.kron(_G @ _G.T, _G @ _G.T)
    e = op.Reshape(op.MatMul(v, swap(op, u, 3)), [36, filters * c.channels])
    d = op.Reshape(op.MatMul(mixed, e), [36, filters, c.channels])
    z = _back(op, op.MatMul(d, u), _A.T, _ends(layer), layer)
    s = op.Min(op.Div(rows, op.Max(z, bias)), _bound(op, squares, layer))
    t = op.Reshape(_transform(op, s, _A.T, _ends(layer)), [36, filters, tiles])
    signed = op.Mul(d, sign_of_rows(c.filters, layer.factor, 1))
    back = _back(op, op.MatMul(swap(op, signed, 3), t), _B, _pads(layer), layer)
    return op.Mul(back, maps)  # [K, N] are [1, 1], and a Reshape would copy at the end of a branch


WINOGRAD = Form("winograd", _applies, _count, _emit)


def _tiles(layer: Layer) -> int:
    return int(np.prod([-(-n // _TILE) for n in layer.c.window.out]))


def _pads(layer: Layer) -> list[int]:
    """Return the padding of the input, so that whole tiles read it: [before_h, before_w, after_h, after_w]."""
    w = layer.c.window
    spans = [(-(-n // _TILE) - 1) * _TILE + _PATCH for n in w.out]
    return [*w.before, *(s - b - n for s, b, n in zip(spans, w.before, w.size, strict=True))]


def _ends(layer: Layer) -> list[int]:
    """Return the padding of the output to whole tiles."""
    return [0, 0, *(-n % _TILE for n in layer.c.window.out)]


def _transform(op: Emitter, maps: ir.Value, matrix: np.ndarray, pads: list[int]) -> ir.Value:
    """Every patch of every map times the matrix from both sides: [1, 1, M, H, W] → [1, 36, M, tiles_h, tiles_w]."""
    kernel = np.einsum("ia,jb->ijab", matrix, matrix).reshape(36, 1, 1, *[matrix.shape[1]] * 2)
    return op.Conv(maps, kernel, kernel_shape=list(kernel.shape[2:]), strides=[1, _TILE, _TILE], pads=_depth(pads))


def _back(op: Emitter, domain: ir.Value, matrix: np.ndarray, pads: list[int], layer: Layer) -> ir.Value:
    """Adjoint of ``_transform``: [36, M, tiles] → [1, 1, M, H, W]."""
    kernel = np.einsum("ia,jb->ijab", matrix, matrix).reshape(36, 1, 1, *[matrix.shape[1]] * 2)
    grid = [-(-n // _TILE) for n in layer.c.window.out]
    domain = op.Reshape(domain, [1, 36, -1, *grid])
    return op.ConvTranspose(
        domain, kernel, kernel_shape=list(kernel.shape[2:]), strides=[1, _TILE, _TILE], pads=_depth(pads)
    )


def _depth(pads: list[int]) -> list[int]:
    return [0, *pads[:2], 0, *pads[2:]]


def _squares(op: Emitter, x: ir.Value, layer: Layer) -> ir.Value:
    """|X_p|² of every window: [1, 1, *out]."""
    c, w = layer.c, layer.c.window
    squares = op.Reshape(op.Mul(x, x), [1, c.channels, math.prod(w.size)])
    summed = op.MatMul(np.ones((1, c.channels)), squares)  # ReduceSum over channels takes twice as long
    return op.Conv(op.Reshape(summed, [1, 1, *w.size]), np.ones((1, 1, 3, 3)), pads=[*w.before, *w.after])


def _bound(op: Emitter, squares: ir.Value, layer: Layer) -> ir.Value:
    """1/|X_p|² of every window, 0 where it holds nothing: [1, 1, 1, *out]."""
    inverse = op.Where(op.Greater(squares, 0.0), op.Reciprocal(squares), 0.0)
    return op.Reshape(inverse, [1, 1, 1, *layer.c.window.out])


def _even(op: Emitter, squares: ir.Value) -> ir.Value:
    """Tell whether no window that holds something is far smaller than one in its tile or beside it."""
    tiles = {"kernel_shape": [_TILE, _TILE], "strides": [_TILE, _TILE], "ceil_mode": 1}
    least = op.Neg(op.MaxPool(op.Neg(op.Where(op.Greater(squares, 0.0), squares, op.huge)), **tiles))
    most = op.MaxPool(op.MaxPool(squares, **tiles), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return op.Greater(op.ReduceMin(op.Sub(least, op.Mul(most, _FAINTEST)), keepdims=0), 0.0)
