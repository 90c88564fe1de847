"""The numerical care every rule needs, each in one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.shapes import Dims

from .context import Context

EPSILON = 1e-9  # the release's: keeps the z-rule of pools and sums from dividing by zero


def safe_divide(op: Emitter, a: ir.Value, b: ir.Value, *, nonnegative: bool = False) -> ir.Value:
    """Return a/b where b ≠ 0 and 0 elsewhere; never NaN or Inf.

    b counts as 0 below ``op.tiny``; there it is replaced by infinity, and a/∞ = 0 exactly.
    """
    size = b if nonnegative else op.Abs(b)
    return op.Div(a, op.Where(op.Greater(size, op.tiny), b, np.array(np.inf)))


def stack_signs(op: Emitter, r: ir.Value, axis: int) -> tuple[ir.Value, ir.Value]:
    """Return ([R⁺; R⁻], [R⁺; −R⁻]) along an axis: the sizes and the signed rows (rsp.md §6)."""
    upper, lower = op.Relu(r), op.Relu(op.Neg(r))
    return op.Concat(upper, lower, axis=axis), op.Concat(upper, op.Neg(lower), axis=axis)


def per_sample(ctx: Context, r: ir.Value, rank: int) -> ir.Value:
    """Sum over everything but the leading axis and the batch: [K, N, ...] → [K, N, 1, ...]. rank: of the forward."""
    axes = ctx.sample_axes(rank)
    return ctx.op.ReduceSum(r, axes, keepdims=1) if axes else r


def uniform_shift(ctx: Context, c: ir.Value, total: ir.Value, rank: int) -> ir.Value:
    """C − 1[C≠0]·total/#{C≠0}, per sample (RSP's uniform shifting). c: [K, N, ...]; total: [K, N, 1, ...]."""
    op = ctx.op
    nonzero = op.Cast(op.Greater(op.Abs(c), 0.0), to=int(op.type))
    share = safe_divide(op, total, per_sample(ctx, nonzero, rank), nonnegative=True)
    return op.Sub(c, op.Mul(nonzero, share))


def unbroadcast(ctx: Context, g: ir.Value, result: ir.Value, source: ir.Value) -> ir.Value:
    """Sum g, shaped [K, *result], over the axes along which ``source`` was broadcast: [K, *source]."""
    axes = broadcast_axes(ctx.dims(result), ctx.dims(source))
    if not axes:
        return g
    return ctx.like(ctx.op.ReduceSum(g, axes, keepdims=0), source)


def broadcast_axes(wide: Dims, narrow: Dims) -> list[int]:
    """Return the axes of [K, *wide] along which a tensor of the shape ``narrow`` was broadcast."""
    extra = len(wide) - len(narrow)
    behind = enumerate(zip(wide[extra:], narrow, strict=True), 1 + extra)
    return [*range(1, 1 + extra), *(axis for axis, (a, b) in behind if b == 1 and a != 1)]


def swap(op: Emitter, x: ir.Value, rank: int) -> ir.Value:
    """Transpose the last two of ``rank`` axes; the runtime fuses it into the product that reads it."""
    return op.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


def pad(op: Emitter, x: ir.Value, before: Sequence[int], after: Sequence[int]) -> ir.Value:
    """Pad with zeros; one size before and after per axis."""
    if not any(before) and not any(after):
        return x
    return op.Pad(x, [*before, *after])


def cut(op: Emitter, x: ir.Value, axis: int, start: int, size: int, step: int = 1) -> ir.Value:
    """Take ``size`` entries along one axis from ``start`` on, every ``step``-th."""
    return op.Slice(x, [start], [start + (size - 1) * step + 1], [axis], [step])


def add_all(op: Emitter, terms: Sequence[ir.Value]) -> ir.Value:
    """Return the sum of one or more tensors."""
    return terms[0] if len(terms) == 1 else op.Sum(*terms)


def scatter_along(op: Emitter, r: ir.Value, axis: int, source: np.ndarray, size: int, rank: int) -> ir.Value:
    """Adjoint of gathering along an axis: entry i of r is added to entry source[i] of a result of this size.

    r: [K, ...] of the given total rank. A product with a 0/1 matrix, so repeated entries add up.
    """
    select = np.zeros((len(source), size))
    select[np.arange(len(source)), source] = 1.0
    order = [i for i in range(rank) if i != axis] + [axis]
    moved = op.MatMul(op.Transpose(r, perm=order), select) if axis != rank - 1 else op.MatMul(r, select)
    return moved if axis == rank - 1 else op.Transpose(moved, perm=list(np.argsort(order)))
