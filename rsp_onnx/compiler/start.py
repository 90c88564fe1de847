"""Where relevance starts: gradient activation maps of target and hostile classes (RSP §2, eqs. (1) and (2))."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import per_sample, safe_divide

from .section import Section


@dataclass(frozen=True)
class Classes:
    """The classes asked for, as tensors of the compiled graph.

    Attributes
    ----------
    target : onnx_ir.Value
        int64 [K, N].
    hostile : onnx_ir.Value
        int64 [K, N, H]; −1 means none.
    """

    target: ir.Value
    hostile: ir.Value


def seeds(ctx: Context, classes: Classes, logits: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the one-hot cotangents of y, [(1+H)·K, *shape of y], target first, and the validity [1+H, K, N]."""
    op = ctx.op
    count = class_count(ctx, logits)
    both = op.Concat(op.Unsqueeze(classes.target, [2]), classes.hostile, axis=2)
    both = op.Transpose(both, perm=[2, 0, 1])
    hot = op.Equal(op.Unsqueeze(both, [3]), np.arange(count))
    hot = op.Cast(hot, to=int(op.type))
    valid = op.Cast(op.GreaterOrEqual(both, 0), to=int(op.type))
    shape = op.Concat([-1], op.Shape(logits), axis=0)
    return op.Reshape(hot, shape), valid


def target_seeds(ctx: Context, classes: Classes, logits: ir.Value) -> ir.Value:
    """Return the one-hot cotangents of the targets alone, [K, *shape of y]."""
    op = ctx.op
    hot = op.Equal(op.Unsqueeze(classes.target, [2]), np.arange(class_count(ctx, logits)))
    return op.Reshape(op.Cast(hot, to=int(op.type)), op.Concat([-1], op.Shape(logits), axis=0))


def class_count(ctx: Context, logits: ir.Value) -> int:
    """Return the number of classes; y must be [N, classes] with nothing but ones behind."""
    sizes = ctx.dims(logits)
    count = sizes[1] if len(sizes) > 1 else None
    if count is None or any(d != 1 for d in sizes[2:]):
        raise BadModel(
            f"The scores {logits.name!r} have the shape {tuple('N' if d is None else d for d in sizes)}, "
            "not [N, classes]; name another output if the model has one."
        )
    return count


def token_maps(ctx: Context, section: Section, gradient: ir.Value) -> ir.Value:
    """M_c of tokens, [G, *shape of F]: Σ over channels of F ⊙ ∂y_c/∂F; of feature maps it is F ⊙ mean of ∂y_c/∂F.

    A filter means the same everywhere, so feature maps take the mean gradient (RSP §2). What a token is worth, the
    attention behind it decides place by place: tokens keep their own gradient (with the deviations of normalisations
    held constant, see ``frozen``), each token's worth is spread evenly over its channels as in eq. (2), and class
    tokens and registers, which are no places, get none (docs/measurements.md, "A vision transformer").
    """
    op = ctx.op
    worth = op.ReduceSum(op.Mul(ctx.read(section.value), gradient), [section.channel_axis + 1], keepdims=1)
    return op.Mul(worth, _over_channels(ctx, section))


def _over_channels(ctx: Context, section: Section) -> np.ndarray:
    """Return 1/C for every channel of every token, 0 for the tokens in front that are no places: [*shape of F]."""
    sizes = [d or 1 for d in ctx.dims(section.value)]
    axis, channels = section.token_axis, sizes[section.channel_axis]
    assert axis is not None
    share = np.full([n if i in (axis, section.channel_axis) else 1 for i, n in enumerate(sizes)], 1.0 / channels)
    share[(slice(None),) * axis + (slice(section.extra_tokens),)] = 0.0
    return share


def evidence(ctx: Context, section: Section, maps: ir.Value) -> ir.Value:
    """max M_c per class and sample, [G, N, 1, ...]; not positive where nothing in the section speaks for c."""
    rank = len(ctx.dims(section.value))
    return ctx.op.ReduceMax(maps, ctx.sample_axes(rank), keepdims=1)


def comparative_start(ctx: Context, section: Section, maps: ir.Value, valid: ir.Value) -> ir.Value:
    """Return R₀, [K, *shape of F]: M_t where no hostile class is named, else eqs. (1) and (2).

    maps: [(1+H)·K, *shape of F]; valid: [1+H, K, N], 1 where a class is named.
    """
    op, rank = ctx.op, len(ctx.dims(section.value))
    peak = evidence(ctx, section, maps)
    largest = op.ReduceMax(op.Abs(maps), ctx.sample_axes(rank), keepdims=1)
    maps = safe_divide(op, maps, op.Where(op.Greater(peak, op.tiny), peak, largest), nonnegative=True)
    maps = op.Reshape(maps, op.Concat(op.Shape(valid), [-1], axis=0))  # [1+H, K, N, entries]
    own = op.Squeeze(op.Slice(maps, [0], [1], [0]), [0])
    wide = op.Unsqueeze(valid, [3])
    rivals = op.Sub(op.ReduceSum(wide, [0], keepdims=0), 1.0)
    # a product of matrices, [K, N, 1, 1+H] by [K, N, 1+H, entries]: ReduceSum takes four times as long
    summed = op.MatMul(op.Transpose(wide, perm=[1, 2, 3, 0]), op.Transpose(maps, perm=[1, 2, 0, 3]))
    summed = op.Squeeze(summed, [2])
    difference = op.Sub(op.Mul(own, op.Add(rivals, 1.0)), summed)  # n·M_t − Σ M_h
    relative = _share_by_position(ctx, section, ctx.like(difference, section.value), rank)
    named = op.Reshape(op.Greater(rivals, 0.0), op.Concat([0, 0], [1] * (rank - 1), axis=0))
    return op.Where(named, relative, ctx.like(own, section.value))


def _share_by_position(ctx: Context, section: Section, difference: ir.Value, rank: int) -> ir.Value:
    """R⁺ and R⁻ normalised, then every position given to its side and spread over the channels, eq. (2)."""
    op, split = ctx.op, ctx.options.split
    upper, lower = _normalised(ctx, difference, rank)
    dims = ctx.dims(section.value)
    if all(dims[a] == 1 for a in section.position_axes):  # one position: A = 1 − 1 = 0, so each unit keeps its side
        return op.Sub(op.Mul(upper, split), lower)
    channel = section.channel_axis + 1
    upper, lower = _normalised(ctx, op.ReduceSum(op.Sub(upper, lower), [channel], keepdims=1), rank)
    channels = float(ctx.sizes(section.value)[section.channel_axis - 1])
    return op.Div(op.Expand(op.Sub(op.Mul(upper, split), lower), _along(rank, channel, int(channels))), channels)


def _along(rank: int, axis: int, size: int) -> list[int]:
    return [size if i == axis else 1 for i in range(rank + 1)]


def _normalised(ctx: Context, r: ir.Value, rank: int) -> tuple[ir.Value, ir.Value]:
    """Return ([R]₊/Σ[R]₊, [−R]₊/Σ[−R]₊) per sample."""
    op = ctx.op
    parts = (op.Relu(r), op.Relu(op.Neg(r)))
    upper, lower = (safe_divide(op, p, per_sample(ctx, p, rank), nonnegative=True) for p in parts)
    return upper, lower
