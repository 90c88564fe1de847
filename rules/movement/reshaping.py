"""Ops that move values: relevance is moved back the same way, never changed. Gradients move alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Known, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import cut, pad, scatter_along, unbroadcast
from rsp_onnx.rulekit.registry import Parts, moves, rule, vjp

from ..shared.places import add_at, numbered
from ..shared.reasons import CONSTANT_PART


def _of_pad(known: Known, node: ir.Node) -> Sign:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return Sign.KEEPS_NONNEGATIVE
    fill = known.constant(node.inputs[2])
    return Sign.KEEPS_NONNEGATIVE if fill is not None and bool((fill >= 0).all()) else Sign.ANY


op_facts("Transpose", role=Role.OTHER, data=Data.KEEPS, sign=Sign.KEEPS)
op_facts("Reshape", "Flatten", "Squeeze", "Unsqueeze", role=Role.OTHER, data=Data.KEEPS, sign=Sign.KEEPS, view=True,
         keeps_totals=True)  # fmt: skip
op_facts("Expand", "Tile", role=Role.OTHER, data=Data.COPIES, sign=Sign.KEEPS)
op_facts("Concat", role=Role.OTHER, data=Data.JOINS, sign=Sign.KEEPS, data_inputs=None, loses=CONSTANT_PART)
op_facts("Split", "Gather", role=Role.OTHER, data=Data.PICKS, sign=Sign.KEEPS)
op_facts("Slice", role=Role.OTHER, data=Data.CROPS, sign=Sign.KEEPS)
op_facts("CenterCropPad", role=Role.OTHER, data=Data.CROPS, sign=Sign.KEEPS, loses=CONSTANT_PART)
op_facts("Pad", role=Role.OTHER, data=Data.PADS, sign=_of_pad, loses=CONSTANT_PART)


@moves("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Reshape relevance back to the input's shape."""
    source = node.inputs[0]
    assert source is not None
    return [ctx.like(r, source)] + [None] * (len(node.inputs) - 1)


@moves("Transpose")
def transpose_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Permute the axes back."""
    rank = len(ctx.dims(node.inputs[0]))
    perm = cast("list[int]", ctx.attr(node, "perm") or list(range(rank))[::-1])
    return [ctx.op.Transpose(r, perm=[0] + [1 + int(i) for i in np.argsort(perm)])]


@moves("Expand")
def sum_copies(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Sum over the axes along which the tensor was copied."""
    source = node.inputs[0]
    assert source is not None
    return [unbroadcast(ctx, r, node.outputs[0], source), None]


@moves("Concat")
def cut_apart(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Cut relevance apart along the axis of concatenation; what belongs to a constant part is absorbed."""
    axis = _axis(ctx, node)
    parts: list[ir.Value | None] = []
    start = 0
    for value in node.inputs:
        size = _known(ctx, node, value, axis)
        parts.append(cut(ctx.op, r, axis + 1, start, size) if ctx.graph.active(value) else None)
        start += size
    return parts


@moves("Split")
def put_in_place(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Put one part's relevance in its place; the walk sums the parts."""
    axis = _axis(ctx, node)
    sizes = [_known(ctx, node, v, axis) for v in node.outputs]
    before, after = sum(sizes[: ctx.output]), sum(sizes[ctx.output + 1 :])
    return [_pad_axis(ctx, node, r, axis, before, after)] + [None] * (len(node.inputs) - 1)


@moves("Slice")
def put_slice_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Put the slice's relevance where it was taken from, zero elsewhere."""
    dims = ctx.dims(node.inputs[0])
    starts, ends = (_list(ctx, node, i) for i in (1, 2))
    axes = _list(ctx, node, 3) if _has(node, 3) else list(range(len(starts)))
    steps = _list(ctx, node, 4) if _has(node, 4) else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis %= len(dims)
        if step == 1 and start == 0 and (dims[axis] is None or end >= cast("int", dims[axis])):
            continue
        size = _known(ctx, node, node.inputs[0], axis)
        taken = np.arange(size)[slice(start, end if end > -size - 1 else None, step)]
        if taken.size == 0:  # an empty slice takes nothing, and nothing comes back
            return [None] * len(node.inputs)
        if step == 1:
            r = _pad_axis(ctx, node, r, axis, int(taken[0]), size - int(taken[-1]) - 1)
        else:
            r = scatter_along(ctx.op, r, axis + 1, taken, size, len(dims) + 1)
    return [r] + [None] * (len(node.inputs) - 1)


@moves("Pad")
def cut_padding_off(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Cut the padding off; reflected or repeated entries go back to where they came from."""
    rank = len(ctx.dims(node.inputs[0]))
    pads = ctx.need_constant(node, 1).astype(int).tolist()
    axes = [int(a) % rank for a in ctx.need_constant(node, 3)] if _has(node, 3) else list(range(rank))
    mode = str(ctx.attr(node, "mode", "constant"))
    amounts = [(axis, pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes) if pads[i] or pads[i + len(axes)]]
    if mode == "constant":
        return [_inside(ctx, node, r, amounts)] + [None] * (len(node.inputs) - 1)
    for axis, before, after in amounts:
        r = _unpad_axis(ctx, node, r, axis, before, after, mode)
    return [r] + [None] * (len(node.inputs) - 1)


def _inside(ctx: Context, node: ir.Node, r: ir.Value, amounts: Sequence[tuple[int, int, int]]) -> ir.Value:
    """Take what is not padding, all axes at once; zeros where negative pads cut something off."""
    if not amounts:
        return r
    before, after = ([0] * (len(ctx.dims(node.inputs[0])) + 1) for _ in range(2))
    ends = []
    for axis, first, last in amounts:
        before[axis + 1], after[axis + 1] = max(-first, 0), max(-last, 0)
        ends.append(max(first, 0) + _known(ctx, node, node.inputs[0], axis) - before[axis + 1] - after[axis + 1])
    inside = ctx.op.Slice(r, [max(first, 0) for _, first, _ in amounts], ends, [axis + 1 for axis, _, _ in amounts])
    return pad(ctx.op, inside, before, after)


def _unpad_axis(ctx: Context, node: ir.Node, r: ir.Value, axis: int, before: int, after: int, mode: str) -> ir.Value:
    size = _known(ctx, node, node.inputs[0], axis)
    left = np.arange(size)[max(-before, 0) : size - max(-after, 0)]  # negative pads cut first
    ends = (max(before, 0), max(after, 0))
    source = np.pad(left, ends, mode=mode)  # type: ignore[call-overload]  # numpy has the same modes
    return scatter_along(ctx.op, r, axis + 1, source, size, len(ctx.dims(node.inputs[0])) + 1)


@moves("CenterCropPad")
def pad_or_crop_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pad what was cropped, crop what was padded: the middle goes back to the middle."""
    sizes = zip(ctx.dims(node.inputs[0]), ctx.dims(node.outputs[0]), strict=True)
    for axis, (size, out) in enumerate(sizes):
        if size == out:
            continue
        size, out = (_known(ctx, node, v, axis) for v in (node.inputs[0], node.outputs[0]))
        if out < size:
            r = _pad_axis(ctx, node, r, axis, (size - out) // 2, -((out - size) // 2))
        else:
            r = cut(ctx.op, r, axis + 1, (out - size) // 2, size)
    return [r, None]


@vjp("Gather")
def put_rows_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Add the gathered entries' gradients to where they were taken from; a token id gets Σ g·embedding."""
    if not ctx.graph.active(node.inputs[0]):
        return [None, _per_token(ctx, node, ctx.op.Mul(g, ctx.read(node.outputs[0])))]
    return [_to_rows(ctx, node, g), None]


@rule("Gather")
def move_rows_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Add the gathered entries' relevance to where they were taken from; a token id gets that of its embedding."""
    if not ctx.graph.active(node.inputs[0]):
        return [None, _per_token(ctx, node, r)]
    return [_to_rows(ctx, node, r), None]


def _per_token(ctx: Context, node: ir.Node, r: ir.Value) -> ir.Value | None:
    """Sum over the axes of the embedding: [K, *output] → [K, *indices]."""
    table, ids = node.inputs
    if ids is None or not ctx.graph.active(ids):
        return None
    rank, at = len(ctx.dims(node.outputs[0])), cast("int", ctx.attr(node, "axis", 0)) % len(ctx.dims(table))
    own = range(at, at + len(ctx.dims(ids)))
    axes = [1 + axis for axis in range(rank) if axis not in own]
    return ctx.op.ReduceSum(r, axes, keepdims=0) if axes else r


def _to_rows(ctx: Context, node: ir.Node, r: ir.Value) -> ir.Value:
    data = cast("ir.Value", node.inputs[0])
    if ctx.constant(node.inputs[1]) is None:  # found at run time
        return add_at(ctx, r, ctx.op.Gather(numbered(ctx, data), node.inputs[1], **attributes(node)), data)
    rank = len(ctx.dims(data))
    axis = int(cast("int", ctx.attr(node, "axis", 0))) % rank
    size = _known(ctx, node, data, axis)
    taken = ctx.need_constant(node, 1)
    source = np.asarray(taken, dtype=np.int64).reshape(-1) % size
    if taken.ndim == 0:
        r = ctx.op.Unsqueeze(r, [axis + 1])
    elif taken.ndim > 1:
        dims = list(ctx.dims(data))
        dims[axis] = source.size
        r = ctx.op.Reshape(r, ctx.op.Concat(ctx.front, [-1 if d is None else d for d in dims], axis=0))
    return scatter_along(ctx.op, r, axis + 1, source, size, rank + 1)


@moves("Tile")
def sum_repeats(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Sum over the repeats."""
    repeats = ctx.need_constant(node, 1).astype(int).tolist()
    dims = ctx.dims(node.inputs[0])
    shape: list[int] = []
    for count, size in zip(repeats, dims, strict=True):
        shape += [count, -1 if size is None else size]
    axes = [1 + 2 * i for i in range(len(repeats))]
    wide = ctx.op.Reshape(r, ctx.op.Concat(ctx.front, shape, axis=0))
    return [ctx.op.ReduceSum(wide, axes, keepdims=0), None]


def _axis(ctx: Context, node: ir.Node) -> int:
    return int(cast("int", ctx.attr(node, "axis", 0))) % len(ctx.dims(node.inputs[0]))


def _list(ctx: Context, node: ir.Node, slot: int) -> list[int]:
    """Return the constant at a slot as a list; some exporters write a scalar where one number is meant."""
    return [int(v) for v in ctx.need_constant(node, slot).reshape(-1)]


def _has(node: ir.Node, slot: int) -> bool:
    return len(node.inputs) > slot and node.inputs[slot] is not None


def _known(ctx: Context, node: ir.Node, value: ir.Value | None, axis: int) -> int:
    size = ctx.dims(value)[axis]
    if size is None:
        raise BadModel(
            f"The {node.op_type} node {node.name!r} works along axis {axis}, whose size is free; "
            "fix the input size, or the batch size, when exporting."
        )
    return size


def _pad_axis(ctx: Context, node: ir.Node, r: ir.Value, axis: int, before: int, after: int) -> ir.Value:
    rank = len(ctx.dims(node.inputs[0])) + 1
    return pad(
        ctx.op,
        r,
        [before if i == axis + 1 else 0 for i in range(rank)],
        [after if i == axis + 1 else 0 for i in range(rank)],
    )
