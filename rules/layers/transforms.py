"""Linear transforms of whole rows: Fourier, and the rotations of position embeddings."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.nodes import attributes, input_at
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import cut, pad, safe_divide
from rsp_onnx.rulekit.registry import Parts, rule, vjp

from ..shared.purge import nonnegative
from ..shared.reasons import UNSEEN

op_facts("DFT", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, loses=UNSEEN)
op_facts("RotaryEmbedding", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY)

_AXIS_IS_INPUT = 20  # of opset, for DFT
_MOST = 2048  # entries whose transform is written out as a matrix
_NOTHING = 1e-12  # an entry of it that is 0 but for rounding


@vjp("DFT")
def transform_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Go through the conjugate transform: n times the inverse one, or the forward one over n. g: [K, *output].

    What a one-sided transform leaves out counts as 0; the inverse of one counts each entry for its mirror image too.
    """
    op, (inverse, length), axis = ctx.op, _how(ctx, node), _axis(ctx, node)
    source, rank = cast("ir.Value", node.inputs[0]), len(ctx.dims(node.inputs[0])) + 1
    size, out = (cast("int", ctx.dims(v)[axis]) for v in (source, node.outputs[0]))
    if inverse and ctx.attr(node, "onesided", 0):
        twice = np.where(np.arange(length // 2 + 1) * 2 % length == 0, 1.0, 2.0) / length
        shape = [-1 if i == axis + 1 else 1 for i in range(rank)]
        back = op.Mul(_dft(ctx, g, axis + 1, onesided=1), twice.reshape(shape))
        return [back] + [None] * (len(node.inputs) - 1)
    back = _dft(ctx, _fill(ctx, g, axis + 1, out, length, rank), axis + 1, inverse=int(not inverse))
    back = op.Mul(back, 1.0 / length if inverse else float(length))
    back = _fill(ctx, back, axis + 1, length, size, rank)
    real = ctx.dims(source)[-1] == 1  # what the imaginary part would get is left out
    return [cut(op, back, rank - 1, 0, 1) if real else back] + [None] * (len(node.inputs) - 1)


@rule("DFT")
def share_by_positive_products(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share by the z⁺ products of x and the transform, as for a constant that mixes positions (RSP §3)."""
    op, source, axis = ctx.op, cast("ir.Value", node.inputs[0]), _axis(ctx, node)
    rank = len(ctx.dims(source))
    ends = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]  # the transformed entries last
    matrix = np.maximum(_matrix(ctx, node), 0)
    x = op.Transpose(nonnegative(ctx, source), perm=ends)
    rows = op.Reshape(x, [*[0] * (rank - 2), -1])
    behind = [0, *(1 + i for i in ends)]
    wanted = op.Reshape(op.Transpose(r, perm=behind), [*[0] * (rank - 1), -1])
    s = safe_divide(op, wanted, op.MatMul(rows, matrix), nonnegative=True)
    back = op.Mul(op.MatMul(s, np.ascontiguousarray(matrix.T)), rows)
    entries = [ctx.dims(source)[i] or 0 for i in ends[-2:]]
    back = op.Transpose(op.Reshape(back, [*[0] * (rank - 1), *entries]), perm=[int(i) for i in np.argsort(behind)])
    return [back] + [None] * (len(node.inputs) - 1)


def _matrix(ctx: Context, node: ir.Node) -> np.ndarray:
    """Return the transform of pairs of entry and real or imaginary part: [n·parts, k·parts]."""
    inverse, length = _how(ctx, node)
    size, parts = (cast("int", ctx.dims(node.inputs[0])[i]) for i in (_axis(ctx, node), -1))
    if size > _MOST:
        raise BadModel(
            f"The DFT node {node.name!r} transforms {size} entries; relevance is supported up to {_MOST}: "
            "choose a later section behind it with --section."
        )
    units = np.eye(size * parts).reshape(-1, size, parts)
    signal = units[..., 0] + (1j * units[..., 1] if parts == 2 else 0)
    transform = np.fft.ifft if inverse else np.fft.fft
    half = inverse and bool(ctx.attr(node, "onesided", 0))
    found: np.ndarray = np.fft.irfft(signal, length, axis=1) if half else transform(signal, length, axis=1)
    found = found[:, : ctx.dims(node.outputs[0])[_axis(ctx, node)]]
    ends = [found.real, found.imag][: ctx.dims(node.outputs[0])[-1]]
    matrix = np.stack(ends, axis=-1).reshape(size * parts, -1)
    return np.where(np.abs(matrix) < _NOTHING, 0.0, matrix)


def _how(ctx: Context, node: ir.Node) -> tuple[bool, int]:
    """Return whether a transform is inverse and its length; BadModel where that is not known or not supported."""
    inverse, axis = bool(ctx.attr(node, "inverse", 0)), _axis(ctx, node)
    size = ctx.dims(node.inputs[0])[axis]
    if size is None:
        raise BadModel(f"The DFT node {node.name!r} works along axis {axis}, whose size is free; fix it.")
    half = inverse and bool(ctx.attr(node, "onesided", 0))
    length = int(ctx.need_constant(node, 1)) if input_at(node, 1) is not None else 2 * (size - 1) if half else size
    if half and length // 2 + 1 != size:  # ONNX Runtime does not fill up, as the standard has it
        raise BadModel(f"The DFT node {node.name!r} makes {length} entries of {size}; export it without a length.")
    return inverse, length


def _axis(ctx: Context, node: ir.Node) -> int:
    rank = len(ctx.dims(node.inputs[0]))
    if _takes_axis(ctx):
        return int(ctx.need_constant(node, 2)) % rank if input_at(node, 2) is not None else rank - 2
    return cast("int", ctx.attr(node, "axis", 1)) % rank


def _takes_axis(ctx: Context) -> bool:
    return ctx.graph.model.graph.opset_imports[""] >= _AXIS_IS_INPUT


def _dft(ctx: Context, x: ir.Value, axis: int, **settings: int) -> ir.Value:
    if _takes_axis(ctx):
        return ctx.op.DFT(x, None, np.array(axis), **settings)
    return ctx.op.DFT(x, axis=axis, **settings)


def _fill(ctx: Context, v: ir.Value, axis: int, size: int, wanted: int, rank: int) -> ir.Value:
    """Cut an axis to a size, or fill it up with zeros."""
    if size > wanted:
        return cut(ctx.op, v, axis, 0, wanted)
    return pad(ctx.op, v, [0] * rank, [wanted - size if i == axis else 0 for i in range(rank)])


@rule("RotaryEmbedding")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged: turning pairs of entries marks positions, it keeps their norm (RSP §3)."""
    return [r] + [None] * (len(node.inputs) - 1)


@vjp("RotaryEmbedding")
def turn_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Turn the pairs back, by −sin. Positions are repeated for every target."""
    op, source = ctx.op, node.inputs[0]
    assert source is not None
    cosine, sine = (ctx.read(v) for v in node.inputs[1:3])
    positions = input_at(node, 3)
    if positions is None:  # the angles of each sample, one row each
        cosine, sine = _repeated(ctx, cosine, node.inputs[1]), _repeated(ctx, sine, node.inputs[2])
    else:
        positions = _repeated(ctx, positions, positions)
    back = op.RotaryEmbedding(ctx.merge(g, ctx.sizes(source)), cosine, op.Neg(sine), positions, **attributes(node))
    return [ctx.like(back, source)] + [None] * (len(node.inputs) - 1)


def _repeated(ctx: Context, view: ir.Value, value: ir.Value | None) -> ir.Value:
    """Repeat a tensor [N, ...] for all K targets: [K·N, ...]."""
    ones = np.ones(len(ctx.dims(value)) - 1, np.int64)
    return ctx.op.Tile(view, ctx.op.Concat(ctx.front, ones, axis=0))
