"""Resize: on every axis a product with a constant interpolation matrix, whatever its mode."""

from __future__ import annotations

import math
from typing import TypeAlias, cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide
from rsp_onnx.rulekit.registry import Parts, rule, vjp

from ..shared.reasons import OUTSIDE

op_facts("Resize", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, loses=OUTSIDE)

Floats: TypeAlias = "NDArray[np.floating]"


@vjp("Resize")
def interpolate_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Mᵀg on every axis, M the matrix [out, in] by which this mode interpolates. Shapes: [K, *out] → [K, *in]."""
    return [_back(ctx, g, _matrices(ctx, node))] + [None] * (len(node.inputs) - 1)


@rule("Resize")
def share_by_value(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the values it was interpolated from (z-rule): X ⊙ Mᵀ(R⊘MX), X + 1e-9 on both sides (RSP §3).

    What tf_crop_and_resize fills in from outside the image takes its relevance with it.
    """
    op, matrices = ctx.op, _matrices(ctx, node)
    x = z = op.Add(ctx.read(node.inputs[0]), EPSILON)
    for axis, m in enumerate(matrices):
        z = z if m is None else _contract(ctx, z, np.ascontiguousarray(m.T), axis, len(matrices))
    return [op.Mul(x, _back(ctx, safe_divide(op, r, z), matrices))] + [None] * (len(node.inputs) - 1)


def _back(ctx: Context, g: ir.Value, matrices: list[Floats | None]) -> ir.Value:
    for axis, m in enumerate(matrices):
        g = g if m is None else _contract(ctx, g, m, axis + 1, len(matrices) + 1)
    return g


def _matrices(ctx: Context, node: ir.Node) -> list[Floats | None]:
    sizes = zip(ctx.dims(node.inputs[0]), ctx.dims(node.outputs[0]), strict=True)
    return [_matrix(ctx, node, axis, size, out) for axis, (size, out) in enumerate(sizes)]


def _contract(ctx: Context, g: ir.Value, m: Floats, axis: int, rank: int) -> ir.Value:
    """Return g·M along one axis, which is moved only where it is none of the last two."""
    if axis == rank - 1:
        return ctx.op.MatMul(g, m)
    if axis == rank - 2:
        return ctx.op.MatMul(np.ascontiguousarray(m.T), g)
    order = [i for i in range(rank) if i != axis] + [axis]
    moved = ctx.op.MatMul(ctx.op.Transpose(g, perm=order), m)
    return ctx.op.Transpose(moved, perm=[int(i) for i in np.argsort(order)])


def _matrix(ctx: Context, node: ir.Node, axis: int, size: int | None, out: int | None) -> Floats | None:
    """Return the interpolation matrix of an axis, None where the axis stays as it is."""
    scale, roi = _scale(ctx, node, axis, size, out), _roi(ctx, node, axis, len(ctx.dims(node.inputs[0])))
    if size is None or out is None:
        if scale not in (None, 1.0):
            raise BadModel(
                f"The Resize node {node.name!r} resizes axis {axis}, whose size is free; "
                "fix the input size when exporting, or give input_shapes."
            )
        return None
    if scale == 1.0 and roi == (0.0, 1.0):
        return None
    mode, factor = str(ctx.attr(node, "mode", "nearest")), out / size if scale is None else scale
    at = _places(str(ctx.attr(node, "coordinate_transformation_mode", "half_pixel")), size, out, factor, roi)
    if mode == "nearest":
        found = _nearest(at, size, str(ctx.attr(node, "nearest_mode", "round_prefer_floor")))
    else:
        found = _weighted(ctx, node, at, size, factor, mode)
    if ctx.attr(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
        found[(at < 0) | (at > size - 1)] = 0.0  # extrapolation_value, a constant
    return found


def _scale(ctx: Context, node: ir.Node, axis: int, size: int | None, out: int | None) -> float | None:
    """Return the scale an axis is given; 1 where it is not resized, None where it follows from the sizes."""
    axes = _axes(ctx, node, len(ctx.dims(node.inputs[0])))
    if axis not in axes:
        return 1.0
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        policy = str(ctx.attr(node, "keep_aspect_ratio_policy", "stretch"))
        if policy != "stretch":
            return _common_scale(ctx, node, axes, policy)
        return 1.0 if size == out else None
    return float(ctx.need_constant(node, 2)[axes.index(axis)])


def _common_scale(ctx: Context, node: ir.Node, axes: list[int], policy: str) -> float:
    """Return the one scale of all axes that keeps the aspect ratio within, or around, the sizes asked for."""
    sizes, dims = ctx.need_constant(node, 3), ctx.dims(node.inputs[0])
    ratios = [float(wanted) / d for wanted, d in zip(sizes, (dims[a] for a in axes), strict=True) if d]
    return min(ratios) if policy == "not_larger" else max(ratios)


def _roi(ctx: Context, node: ir.Node, axis: int, rank: int) -> tuple[float, float]:
    """Return the part of an axis that tf_crop_and_resize takes."""
    axes = _axes(ctx, node, rank)
    if ctx.attr(node, "coordinate_transformation_mode") != "tf_crop_and_resize" or axis not in axes:
        return 0.0, 1.0
    roi = ctx.need_constant(node, 1).astype(np.float64)
    return float(roi[axes.index(axis)]), float(roi[len(axes) + axes.index(axis)])


def _axes(ctx: Context, node: ir.Node, rank: int) -> list[int]:
    given = ctx.attr(node, "axes")
    return list(range(rank)) if given is None else [int(a) % rank for a in cast("list[int]", given)]


def _places(transformation: str, size: int, out: int, scale: float, roi: tuple[float, float]) -> Floats:
    """Return where on the input each output position reads (ONNX's coordinate transformations)."""
    i = np.arange(out, dtype=np.float64)
    if transformation == "asymmetric":
        return i / scale
    if transformation == "tf_half_pixel_for_nn":
        return (i + 0.5) / scale
    if transformation == "align_corners":
        return i * (size - 1) / max(out - 1, 1)
    if transformation == "tf_crop_and_resize":
        first, last = roi
        at = first * (size - 1) + i * (last - first) * (size - 1) / max(out - 1, 1)
        return at if out > 1 else np.full(1, 0.5 * (first + last) * (size - 1))
    if transformation == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    at = (i + 0.5) / scale - 0.5
    return at + size / 2 * (1 - out / (scale * size)) if transformation == "half_pixel_symmetric" else at


def _nearest(at: Floats, size: int, mode: str) -> Floats:
    """Return the 0/1 matrix that picks one entry per output; in float32, where the runtime rounds."""
    x = at.astype(np.float32)
    half = np.float32(0.5)
    picked = {"round_prefer_ceil": np.floor(x + half), "floor": np.floor(x), "ceil": np.ceil(x)}
    index = np.clip(picked.get(mode, np.ceil(x - half)).astype(np.int64), 0, size - 1)
    found: Floats = np.eye(size)[index]
    return found


def _weighted(ctx: Context, node: ir.Node, at: Floats, size: int, scale: float, mode: str) -> Floats:
    """Return the matrix of linear or cubic weights; neighbours outside repeat the edge or are left out."""
    wide = min(scale, 1.0) if ctx.attr(node, "antialias", 0) else 1.0
    reach = math.ceil((2 if mode == "cubic" else 1) / wide)
    index = np.floor(at).astype(np.int64)[:, None] + np.arange(1 - reach, 1 + reach)
    distance = np.abs(index - at[:, None]) * wide
    a = float(cast("float", ctx.attr(node, "cubic_coeff_a", -0.75)))
    weight = _cubic(distance, a) if mode == "cubic" else np.maximum(1 - distance, 0)
    if ctx.attr(node, "exclude_outside", 0):
        weight = np.where((index < 0) | (index >= size), 0, weight)
    weight = weight / weight.sum(1, keepdims=True)
    found = np.zeros((len(at), size))
    np.add.at(found, (np.arange(len(at))[:, None], np.clip(index, 0, size - 1)), weight)
    return found


def _cubic(d: Floats, a: float) -> Floats:
    """Keys' cubic kernel at distances d ≥ 0."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
