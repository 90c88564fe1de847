"""The numerical care every rule needs, each in one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.shapes import Dims

from .context import Context

EPSILON = 1e-9  # the release's: keeps the z-rule of pools and sums from dividing by zero
_FAINTEST = 1e-30  # relevance that counts: what is made of less is denormal, and such products take ten times as long


def safe_divide(op: Emitter, a: ir.Value, b: ir.Value, *, nonnegative: bool = False) -> ir.Value:
    """Return a/b where b ≠ 0 and 0 elsewhere; never NaN or Inf.

    b counts as 0 below ``op.tiny``; there it is replaced by infinity, and a/∞ = 0 exactly.
    """
    size = b if nonnegative else op.Abs(b)
    return op.Div(a, op.Where(op.Greater(size, op.tiny), b, np.array(np.inf)))


def signs(op: Emitter, r: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return R⁺ and R⁻, neither negative: R = R⁺ − R⁻."""
    upper = op.Relu(r)
    return upper, op.Sub(upper, r)


def stack_signs(op: Emitter, r: ir.Value, axis: int) -> ir.Value:
    """Return R₂ = [R⁺; R⁻] along an axis (rsp.md §6); the sign goes into what is small, see ``sign_of_rows``."""
    return _positive(op, op.Concat(r, op.Neg(r), axis=axis))


def sign_pairs(op: Emitter, r: ir.Value, rows: int, positions: int) -> ir.Value:
    """Return R₂ of one sample and class in two passes instead of three: r of rows·positions entries → [2, rows, P].

    ``stack_signs`` along the first axis, for where sizes are known.
    """
    return _positive(op, op.Mul(op.Reshape(r, [1, rows, positions]), np.array([1.0, -1.0]).reshape(2, 1, 1)))


def _positive(op: Emitter, r: ir.Value) -> ir.Value:
    """Return r where it is above what is faintest, else 0; in double precision, where nothing is too faint, above 0."""
    return op.Relu(r) if op.type == ir.DataType.DOUBLE else op.ThresholdedRelu(r, alpha=_FAINTEST)


def sign_of_rows(rows: int, factor: float, *behind: int) -> np.ndarray:
    """Return ±factor for every row of R₂, [2·rows, *behind]: what makes C_p − C_n of the sum over both halves."""
    return np.repeat([factor, -factor], rows).reshape(-1, *behind)


def divide_sum(op: Emitter, r: ir.Value, z: ir.Value, bias: ir.Value | float) -> ir.Value:
    """Return r/z for a z that is a sum of products of non-negative numbers, r one of their factors.

    Where z is 0 all of its products are, so whatever the result is multiplied by is 0 there: a bias far below any
    z that counts keeps it finite, and no comparison is needed.
    """
    return op.Div(r, op.Add(z, bias))


def bias_below(op: Emitter, size: float) -> float:
    """Return a bias far below any z = Σ x·w that counts, however faint x is: size times ``op.bias`` and ``op.dark``.

    size: a bound of |w|. It is what ``bias_for`` has where x is dark, and does not depend on x, so that the layer's own
    op adds it in the pass that makes z. (r/z)·w stays finite for any r up to 1e9.
    """
    return max(size * op.bias * op.dark, op.tiny)


def bias_for(op: Emitter, x: ir.Value, axes: Sequence[int] | None = None) -> ir.Value:
    """Return a bias far below any z = Σ x·x·r that counts, however faint x is: (max x)² times ``op.bias``.

    axes: of one sample, where there are several: [N, 1, 1, 1]; None for all of x, a scalar. x ≥ 0.
    """
    bounded = largest(op, x, axes)
    return op.Mul(op.Mul(bounded, op.bias), bounded)


def largest(op: Emitter, x: ir.Value, axes: Sequence[int] | None = None) -> ir.Value:
    """Return max x, more than 0 where all is 0; axes and shape as of ``bias_for``."""
    if axes is None:
        return op.Max(op.ReduceMax(op.Reshape(x, [-1]), [0], keepdims=0), op.dark)
    return op.Max(op.Reshape(op.ReduceMax(x, list(axes), keepdims=0), [-1, 1, 1, 1]), op.dark)


def per_sample(ctx: Context, r: ir.Value, rank: int) -> ir.Value:
    """Sum over everything but the leading axis and the batch: [K, N, ...] → [K, N, 1, ...]. rank: of the forward."""
    axes = ctx.sample_axes(rank)
    return ctx.op.ReduceSum(r, axes, keepdims=1) if axes else r


def uniform_shift(ctx: Context, c: ir.Value, total: ir.Value, rank: int) -> ir.Value:
    """C − 1[C≠0]·total/#{C≠0}, per sample (RSP's uniform shifting). c: [K, N, ...]; total: [K, N, 1, ...]."""
    op = ctx.op
    nonzero = op.Cast(op.Cast(c, to=int(ir.DataType.BOOL)), to=int(op.type))
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
