"""The affine map per channel that is a BatchNormalization, or that stands behind a linear op."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.nodes import input_at
from rsp_onnx.graph.op_facts import facts_of

from .context import Context


def affine_behind(ctx: Context, node: ir.Node, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, c): the nodes behind y compute a·y + c, as far as nobody else reads what lies between.

    ``axis`` counts y's channels. a: one number or one per channel, [channels, 1, ...]; c broadcasts against y.
    """
    value = node.outputs[0]
    scale, shift = np.ones(()), np.zeros(())
    while len(users := ctx.graph.consumers(value)) == 1 and value is not ctx.end:
        step = _step(ctx, users[0], value, axis)
        if step is None:
            break
        scale, shift = scale * step[0], shift * step[0] + step[1]
        value = users[0].outputs[0]
    return scale, shift


def affine_behind_integers(ctx: Context, node: ir.Node, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, c) as ``affine_behind`` for a product in integers, on activations that are numbers already.

    Behind it stand a Cast and a product with the activation's scale, found in the image, times the weight's.
    """
    cast_node = _only_user(ctx, node, "Cast")
    scaling = None if cast_node is None else _only_user(ctx, cast_node, "Mul")
    if cast_node is None or scaling is None:
        return np.ones(()), np.zeros(())
    factor = scaling.inputs[1 if scaling.inputs[0] is cast_node.outputs[0] else 0]
    scales = None if factor is None else factor.producer()
    own = [] if scales is None or scales.op_type != "Mul" else [ctx.constant(v) for v in scales.inputs]
    known = [a for a in own if a is not None]
    if len(known) != 1:
        return np.ones(()), np.zeros(())
    scale, shift = affine_behind(ctx, scaling, axis)
    return scale * known[0].astype(np.float64), shift


def _only_user(ctx: Context, node: ir.Node, op_type: str) -> ir.Node | None:
    users = ctx.graph.consumers(node.outputs[0])
    return users[0] if len(users) == 1 and users[0].op_type == op_type else None


def _step(ctx: Context, node: ir.Node, value: ir.Value, axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what one node adds and multiplies; None where it is no affine map per channel."""
    if node.op_type == "BatchNormalization" and axis == 1:
        return batch_norm(ctx, node)
    if not facts_of(node).affine or len(node.inputs) != 2 or len(ctx.graph.active_inputs(node)) != 1:
        return None
    first, rank = node.inputs[0] is value, len(ctx.dims(value))
    constant = ctx.constant(node.inputs[1] if first else node.inputs[0])
    if constant is None or constant.ndim > rank or (node.op_type in ("Sub", "Div") and not first):
        return None
    c = constant.astype(np.float64)
    if node.op_type == "Mean":
        return np.full((), 0.5), c / 2
    if facts_of(node).sums or node.op_type == "Sub":
        return np.ones(()), -c if node.op_type == "Sub" else c
    if c.size != (c.shape[axis - rank] if c.ndim >= rank - axis else 1):
        return None
    return (c if node.op_type == "Mul" else 1.0 / c), np.zeros(())


def batch_norm(ctx: Context, node: ir.Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a = scale/√(var + ε) and c = bias − mean·a of a BatchNormalization, [channels, 1, ...] each, float64.

    None where the statistics are the image's own.
    """
    if trains(node):
        return None
    stored = [ctx.constant(v) for v in node.inputs[1:5]]
    if any(array is None for array in stored):
        return None
    gain, offset, mean, variance = (cast("np.ndarray", a).astype(np.float64) for a in stored)
    scale = gain / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    shape = [-1] + [1] * (len(ctx.dims(node.outputs[0])) - 2)
    return scale.reshape(shape), (offset - mean * scale).reshape(shape)


def trains(node: ir.Node) -> bool:
    """Tell of a BatchNormalization in training mode, which takes its statistics from the batch it is given."""
    return node.attributes.get_int("training_mode", 0) != 0


def scaled_weight(ctx: Context, weight: ir.Value, scale: np.ndarray) -> ir.Value:
    """Return W·a as the model's own tensor times a constant, so that W is stored once; a broadcasts against W."""
    return weight if bool((scale == 1.0).all()) else ctx.op.Mul(weight, scale)


def size_and_output(
    ctx: Context, node: ir.Node, weight: ir.Value | None, scale: np.ndarray, shift: np.ndarray
) -> tuple[float, ir.Value | None]:
    """Return a bound of |W·a|, 1 where W is not known before run time; and the model's own x·W·a + (b·a + c).

    The latter is the node's output where no map stands behind it and nothing is rounded, None elsewhere.
    """
    x, y, known = node.inputs[0], node.outputs[0], ctx.constant(weight)
    exact = node.graph is not None and y.dtype == ctx.op.type and ctx.read(x) is x
    output = y if exact and bool((scale == 1.0).all()) and not shift.any() else None
    if known is None or not known.size:
        return 1.0, output
    return max(float(known.max()), -float(known.min())) * float(np.abs(scale).max()), output


def per_channel(bias: np.ndarray | None, channels: int, behind: int) -> np.ndarray | None:
    """Return a bias as [channels], with so many axes behind the channels'; None where it differs along another axis."""
    if bias is None:
        return None
    shape = (channels, *[1] * behind)
    own = bias.shape[-len(shape) :]
    if np.broadcast_shapes(own, shape) != shape or bias.size != np.prod(own, dtype=int):
        return None
    return np.broadcast_to(bias.reshape(own), shape).reshape(channels)


def constant_bias(ctx: Context, node: ir.Node, slot: int) -> np.ndarray | None:
    """Return the constant bias at a slot, None where there is none."""
    bias = ctx.constant(input_at(node, slot))
    return None if bias is None else bias.astype(np.float64)


def folded_bias(bias: np.ndarray | None, scale: np.ndarray, shift: np.ndarray) -> np.ndarray | None:
    """Return b·a + c; None for zeros. bias broadcasts against the output."""
    total = np.asarray(shift if bias is None else bias * scale + shift)
    return total if total.any() else None
