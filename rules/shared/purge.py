"""What happens before every conv and dense rule: the input made non-negative, the relevance purged."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.signs import is_nonnegative, is_nonpositive
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import per_sample, safe_divide


def nonnegative(ctx: Context, value: ir.Value) -> ir.Value:
    """Return x = [X]₊, or |X| with ``signed_inputs="abs"`` (RSP §3).

    X itself where it cannot be negative. −X where it cannot be positive: [X]₊ would be nothing at all for any image.
    """
    x = ctx.read(value)
    if is_nonnegative(ctx.graph, value):
        return x
    if is_nonpositive(ctx.graph, value):
        return ctx.op.Neg(x)
    return ctx.op.Abs(x) if ctx.options.signed_inputs == "abs" else ctx.op.Relu(x)


def purge(ctx: Context, r: ir.Value, channel_axis: int, rank: int) -> ir.Value:
    """Remove at each position the units whose sign disagrees with the channel sum (RSP eq. (2), "purge").

    Where A = Σ_channels R > 0 the negative units go, elsewhere the positive ones; then both signs are
    rescaled to their totals from before. r: [K, *forward shape]; ``rank`` and ``channel_axis`` of the forward.
    """
    if not ctx.options.purge:
        return r
    op = ctx.op
    side = op.Greater(op.ReduceSum(r, [channel_axis + 1], keepdims=1), 0.0)
    upper, lower = op.Relu(r), op.Relu(op.Neg(r))
    kept_upper, kept_lower = op.Where(side, upper, 0.0), op.Where(side, 0.0, lower)
    parts = []
    for before, after in ((upper, kept_upper), (lower, kept_lower)):
        ratio = safe_divide(op, per_sample(ctx, before, rank), per_sample(ctx, after, rank), nonnegative=True)
        parts.append(op.Mul(after, ratio))
    return op.Sub(*parts)
