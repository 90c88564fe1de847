"""BatchNormalization: by stored statistics, by statistics computed from the image, or by the batch's own (training)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.affine import batch_norm, trains
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import Parts, frozen, statistics, vjp

from .normalization import normalise_back, normalised

op_facts("BatchNormalization", role=Role.NORMALISATION, data=Data.COMPUTES, sign=Sign.ANY,
         layout=Layout.CHANNELS_FIRST, affine=True)  # fmt: skip
statistics("BatchNormalization", 1, 2, reason="running mean and variance are statistics")


@vjp("BatchNormalization")
def through_batch_norm(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·scale/√(var + ε) per channel for x; scale, bias, mean and variance get theirs where the image computes them."""
    if trains(node):
        return _through_own_statistics(ctx, node, g)
    stored = batch_norm(ctx, node)
    if stored is not None:
        return [ctx.op.Mul(g, stored[0]), None, None, None, None]
    return _through_given_statistics(ctx, node, g, deviation=True)


@frozen("BatchNormalization")
def divide_by_given_deviation(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """As the gradient, but the variance is a constant: so a LayerNormalization is written by way of this op."""
    if trains(node) or batch_norm(ctx, node) is not None:
        return through_batch_norm(ctx, node, g)
    return _through_given_statistics(ctx, node, g, deviation=False)


def _through_given_statistics(ctx: Context, node: ir.Node, g: ir.Value, *, deviation: bool) -> Parts:
    """y = scale·x̂ + bias with x̂ = (x − mean)/σ. g: [K, N, C, ...], what belongs to a vector [C] becomes [K, C]."""
    op = ctx.op
    x, mean, sigma = ctx.read(node.inputs[0]), _wide(ctx, node, 3), _deviation(ctx, node)
    back = op.Mul(g, op.Div(_wide(ctx, node, 1), sigma))

    def hat() -> ir.Value:
        return op.Div(op.Sub(x, mean), sigma)

    def slope() -> ir.Value:
        return op.Mul(op.Mul(back, hat()), op.Div(-0.5, sigma))

    makers = [lambda: back, lambda: op.Mul(g, hat()), lambda: g, lambda: op.Neg(back), slope if deviation else None]
    return _parts(ctx, node, makers)


def _through_own_statistics(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Of one image alone the batch's mean and deviation are its own: as through an InstanceNormalization."""
    if not ctx.single:
        raise BadModel(
            f"The BatchNormalization node {node.name!r} takes its statistics from the batch (training mode), so that "
            "what one image gets depends on the others; export the model in inference mode, or explain one image at "
            "a time: give a batch size of 1 with input_shapes (--input-shape of compile)."
        )
    op, axes = ctx.op, [0, *_places(ctx, node, behind=1)]
    x, scaled = ctx.read(node.inputs[0]), op.Mul(g, _wide(ctx, node, 1))
    how = (axes, _epsilon(ctx, node), True)
    makers = [lambda: normalise_back(ctx, x, scaled, *how), lambda: op.Mul(g, normalised(ctx, x, *how)), lambda: g]
    return _parts(ctx, node, [*makers, None, None])


def _parts(ctx: Context, node: ir.Node, makers: Sequence[Callable[[], ir.Value] | None]) -> Parts:
    """Write what belongs to inputs that the image computes: x as it is, the vectors [C] summed up."""
    places = [1, *_places(ctx, node, behind=2)]
    wanted = [make() if make and ctx.graph.active(v) else None for v, make in zip(node.inputs, makers, strict=True)]
    summed = [None if part is None else ctx.op.ReduceSum(part, places, keepdims=0) for part in wanted[1:]]
    return [wanted[0], *summed]


def _places(ctx: Context, node: ir.Node, behind: int) -> list[int]:
    """Return the axes of the positions, where the channels stand at axis ``behind``."""
    return [behind + i for i in range(1, len(ctx.dims(node.outputs[0])) - 1)]


def _wide(ctx: Context, node: ir.Node, slot: int) -> ir.Value:
    """Return a vector [C] so that it broadcasts against [N, C, ...]."""
    places = _places(ctx, node, behind=0)
    vector = ctx.read(node.inputs[slot])
    return ctx.op.Unsqueeze(vector, places) if places else vector


def _deviation(ctx: Context, node: ir.Node) -> ir.Value:
    return ctx.op.Sqrt(ctx.op.Add(_wide(ctx, node, 4), _epsilon(ctx, node)))


def _epsilon(ctx: Context, node: ir.Node) -> float:
    return float(cast("float", ctx.attr(node, "epsilon", 1e-5)))
