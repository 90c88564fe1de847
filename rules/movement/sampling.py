"""GridSample: every output reads a few input positions with weights that the grid gives, axis by axis; AffineGrid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide
from rsp_onnx.rulekit.registry import Parts, rule, vjp

from ..shared.reasons import OUTSIDE

op_facts("GridSample", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, loses=OUTSIDE)
op_facts("AffineGrid", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY,
         loses="where an image is read says nothing of what is seen there")  # fmt: skip

_CUBIC = -0.75  # the runtime's coefficient of Keys' kernel
_KINDS = {"bilinear": "linear", "bicubic": "cubic"}  # as opset 16 calls them
Tap: TypeAlias = "tuple[ir.Value, ir.Value, ir.Value]"


@dataclass(frozen=True)
class Taps:
    """What is read for the P output positions by T combined taps.

    ``index`` [N, T·P] into the flat input; ``weight`` [N, T·P]; ``slopes``: of each axis, the weight's derivative by
    that component of the grid, [N, T·P].
    """

    index: ir.Value
    weight: ir.Value
    slopes: tuple[ir.Value, ...]
    count: int


@vjp("GridSample")
def sample_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Add g times the weights where X was read; the grid gets Σ g·X·(the weights' derivatives), 0 for nearest."""
    taps, (source, grid) = _taps(ctx, node), node.inputs
    return [
        _scatter(ctx, node, g, taps) if ctx.graph.active(source) else None,
        _by_grid(ctx, node, g, taps) if ctx.graph.active(grid) and _kind(node) != "nearest" else None,
    ]


@rule("GridSample")
def share_by_value(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the values that were read (z-rule), none to the grid; what is read outside is absorbed (RSP §3)."""
    if not ctx.graph.active(node.inputs[0]):
        return [None, None]
    op = ctx.op
    x = op.Add(ctx.read(node.inputs[0]), EPSILON)
    same = attributes(node)
    z = op.GridSample(x, ctx.read(node.inputs[1]), **same)
    return [op.Mul(x, _scatter(ctx, node, safe_divide(op, r, z), _taps(ctx, node))), None]


@rule("AffineGrid")
def leave_the_grid(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """None: where an image is read says nothing of what is seen there, so relevance ends at the grid (RSP §3)."""
    return [None, None]


@vjp("AffineGrid")
def sum_over_positions(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Σ over positions of g·(x, y, 1): the grid is linear in theta. g: [K, N, *out, d] → [K, N, d, d + 1]."""
    op, out = ctx.op, ctx.sizes(node.outputs[0])[:-1]
    corners = bool(ctx.attr(node, "align_corners", 0))
    ends = [np.linspace(-1, 1, n) if corners else (2 * np.arange(n) + 1) / n - 1 for n in out]
    places = np.stack([*np.meshgrid(*ends, indexing="ij")[::-1], np.ones(out)], axis=-1)
    flat = ctx.part(g, math.prod(out), len(out))
    return [op.MatMul(op.Transpose(flat, perm=[0, 1, 3, 2]), places.reshape(-1, len(out) + 1)), None]


def _kind(node: ir.Node) -> str:
    found = node.attributes.get("mode")
    word = found.as_string() if found is not None else "linear"
    return _KINDS.get(word, word)


def _scatter(ctx: Context, node: ir.Node, g: ir.Value, taps: Taps) -> ir.Value:
    """Add g·weight to the places read: [K, N, C, *out] → [K, N, C, *in]."""
    op, (channels, *size) = ctx.op, ctx.sizes(node.inputs[0])
    flat = ctx.part(g, channels, math.prod(ctx.sizes(node.outputs[0])[1:]))
    parts = op.Mul(op.Concat(*[flat] * taps.count, axis=3), op.Unsqueeze(taps.weight, [1]))
    places = op.Expand(op.Unsqueeze(taps.index, [1]), op.Shape(parts))
    shape = op.Concat(op.Shape(parts, start=0, end=3), [math.prod(size)], axis=0)
    back = op.ScatterElements(op.Expand(0.0, shape), places, parts, axis=3, reduction="add")
    return ctx.part(back, channels, *size)


def _by_grid(ctx: Context, node: ir.Node, g: ir.Value, taps: Taps) -> ir.Value:
    """Σ over channels of g·Σ over taps of X·slope, per component of the grid: [K, *grid shape]."""
    op, (channels, *size) = ctx.op, ctx.sizes(node.inputs[0])
    out = math.prod(ctx.sizes(node.outputs[0])[1:])
    x = op.Reshape(ctx.read(node.inputs[0]), [-1, channels, math.prod(size)])
    wide = op.Concat(op.Shape(x, start=0, end=2), [taps.count * out], axis=0)
    read = op.GatherElements(x, op.Expand(op.Unsqueeze(taps.index, [1]), wide), axis=2)
    flat, components = ctx.part(g, channels, out), []
    for slope in taps.slopes:
        terms = op.Reshape(op.Mul(read, op.Unsqueeze(slope, [1])), [0, channels, taps.count, out])
        terms = op.ReduceSum(terms, [2], keepdims=0)
        components.append(op.Unsqueeze(op.ReduceSum(op.Mul(flat, terms), [2], keepdims=0), [3]))
    assert node.inputs[1] is not None
    return ctx.part(op.Concat(*components[::-1], axis=3), *ctx.sizes(node.inputs[1]))


def _taps(ctx: Context, node: ir.Node) -> Taps:
    """Combine the taps of all axes: indices add up, weights multiply."""
    op, size = ctx.op, ctx.sizes(node.inputs[0])[1:]
    out = math.prod(ctx.sizes(node.outputs[0])[1:])
    grid = op.Reshape(ctx.read(node.inputs[1]), [-1, out, len(size)])
    axes = [_axis(ctx, node, op.Gather(grid, np.array(len(size) - 1 - a), axis=2), n) for a, n in enumerate(size)]
    strides = [math.prod(size[a + 1 :]) for a in range(len(size))]
    index, weight = [], []
    slopes: list[list[ir.Value]] = [[] for _ in size]
    for taps in product(*axes):
        places = [op.Mul(tap[0], stride) for tap, stride in zip(taps, strides, strict=True)]
        index.append(_fold(ctx, "Add", places))
        weight.append(_fold(ctx, "Mul", [tap[1] for tap in taps]))
        for a in range(len(size)):
            slopes[a].append(_fold(ctx, "Mul", [tap[2 if b == a else 1] for b, tap in enumerate(taps)]))
    joined = [op.Concat(*parts, axis=1) for parts in (index, weight, *slopes)]
    return Taps(joined[0], joined[1], tuple(joined[2:]), len(index))


def _fold(ctx: Context, op_type: str, values: list[ir.Value]) -> ir.Value:
    result = values[0]
    for value in values[1:]:
        result = ctx.op.emit(op_type, result, value)
    return result


def _axis(ctx: Context, node: ir.Node, at: ir.Value, n: int) -> list[Tap]:
    """Return (index, weight, the weight's derivative by the grid) of each tap on one axis; at: the grid [N, P]."""
    op, kind = ctx.op, _kind(node)
    corners = bool(node.attributes.get_int("align_corners", 0))
    pace = (n - 1) / 2 if corners else n / 2
    low, high = (0.0, n - 1.0) if corners else (-0.5, n - 0.5)
    x = op.Sub(op.Mul(op.Add(at, 1.0), pace), 0.0 if corners else 0.5)
    x = op.Round(x) if kind == "nearest" else x
    x, slope = _inside(ctx, node, x, n, low, high)
    first = op.Floor(x)
    rest, slope = op.Sub(x, first), op.Mul(slope, pace)
    taps = []
    for offset, weight, derivative in _weights(ctx, kind, rest):
        place, seen = _place(ctx, node, op.Add(first, float(offset)), n, low, high)
        taps.append((place, op.Mul(weight, seen), op.Mul(op.Mul(derivative, slope), seen)))
    return taps


def _padding(node: ir.Node) -> str:
    found = node.attributes.get("padding_mode")
    return found.as_string() if found is not None else "zeros"


def _inside(ctx: Context, node: ir.Node, x: ir.Value, n: int, low: float, high: float) -> tuple[ir.Value, ir.Value]:
    """Return where x lies after padding, and its derivative."""
    op, padding = ctx.op, _padding(node)
    one = op.Add(op.Mul(x, 0.0), 1.0)
    if padding == "border":
        inside = op.And(op.Greater(x, 0.0), op.Less(x, float(n - 1)))
        beyond = op.Or(op.Less(x, low), op.Greater(x, high))
        return op.Where(beyond, op.Clip(x, 0.0, float(n - 1)), x), op.Where(op.Or(inside, op.Not(beyond)), one, 0.0)
    if padding == "reflection" and high > low:
        return _reflect(ctx, x, low, high)
    return x, one


def _reflect(ctx: Context, x: ir.Value, low: float, high: float) -> tuple[ir.Value, ir.Value]:
    """Return x mirrored at both ends until it is inside, and the derivative, 1 or −1."""
    op, reach = ctx.op, high - low
    distance = op.Mod(op.Abs(op.Sub(x, low)), 2 * reach, fmod=1)
    forth = op.LessOrEqual(distance, reach)
    there = op.Add(op.Where(forth, distance, op.Sub(2 * reach, distance)), low)
    sign = op.Where(op.Less(x, low), op.Neg(op.Add(op.Mul(x, 0.0), 1.0)), 1.0)
    return there, op.Where(forth, sign, op.Neg(sign))


def _place(ctx: Context, node: ir.Node, index: ir.Value, n: int, low: float, high: float) -> tuple[ir.Value, ir.Value]:
    """Return the input index a tap reads, int64, and 1 where it counts, 0 outside under zero padding."""
    op = ctx.op
    last, seen = float(n - 1), op.Add(op.Mul(index, 0.0), 1.0)
    if _padding(node) == "zeros":
        inside = op.And(op.GreaterOrEqual(index, 0.0), op.LessOrEqual(index, last))
        seen = op.Where(inside, seen, 0.0)
    elif _padding(node) == "reflection" and high > low:
        index = op.Round(_reflect(ctx, index, low, high)[0])
    return op.Cast(op.Clip(index, 0.0, last), to=int(ir.DataType.INT64)), seen


def _weights(ctx: Context, kind: str, t: ir.Value) -> list[tuple[int, ir.Value, ir.Value]]:
    """Return (offset, weight, derivative) of each tap for a position t ∈ [0, 1) behind the first."""
    op = ctx.op
    one = op.Add(op.Mul(t, 0.0), 1.0)
    if kind == "nearest":
        return [(0, one, op.Mul(t, 0.0))]
    if kind == "linear":
        return [(0, op.Sub(one, t), op.Neg(one)), (1, t, one)]
    a, rows = _CUBIC, []
    for offset, side in ((-1, 1.0), (0, 1.0), (1, -1.0), (2, -1.0)):
        near = (a + 2, -(a + 3), 0.0, 1.0) if offset in (0, 1) else (a, -5 * a, 8 * a, -4 * a)
        steep = (3 * near[0], 2 * near[1], near[2])
        d = op.Mul(op.Sub(t, float(offset)), side)
        rows.append((offset, _polynomial(ctx, d, near), op.Mul(_polynomial(ctx, d, steep), side)))
    return rows


def _polynomial(ctx: Context, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    """Horner's scheme, highest power first."""
    result = ctx.op.Mul(x, coefficients[0])
    for c in coefficients[1:-1]:
        result = ctx.op.Mul(ctx.op.Add(result, c), x)
    return ctx.op.Add(result, coefficients[-1])
