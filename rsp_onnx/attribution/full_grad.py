"""FullGrad (Srinivas and Fleuret 2019): the gradient of the input and of every bias, x⊙∂y/∂x + Σ b⊙∂y/∂b = y.

The map adds up, for the image and every convolution, ψ of what its entries contribute: sizes, scaled to 0..1 per layer
and sample, summed over channels and enlarged to the image, as the authors' code has it. A bias stands in a Conv, in a
BatchNormalization (its shift and what its mean takes away), or is a constant added to maps behind one. Windows beside
each other in the batch, tokens and attention scores are no maps of the image: their biases are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.start import target_seeds
from rsp_onnx.compiler.walk import Flow, walk
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.op_facts import Role, facts_of, plain_op
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.layout import channels_last
from rsp_onnx.loops.course import course_of
from rsp_onnx.rulekit.affine import batch_norm
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import safe_divide
from rsp_onnx.rulekit.registry import find_vjp

from .cams import resize_map

_EPSILON = 1e-6  # the authors': keeps a constant map from dividing by zero


def biases(ctx: Context, node: ir.Node) -> Iterator[np.ndarray]:
    """Yield the biases a node adds to maps, each so that it broadcasts against its output [N, *sizes]."""
    op, places = plain_op(node), [1] * (len(ctx.dims(node.outputs[0])) - 2)
    if op in ("Conv", "ConvTranspose") and len(node.inputs) > 2:
        bias = ctx.constant(node.inputs[2])
        if bias is not None and bias.any():
            yield bias.astype(np.float64).reshape(-1, *places)
    elif op == "BatchNormalization":
        stored = batch_norm(ctx, node)
        if stored is not None:
            yield stored[1]
    elif op in ("Add", "Sub") and len(ctx.graph.active_inputs(node)) == 1:
        slot = 0 if ctx.graph.active(node.inputs[1]) else 1
        bias = ctx.constant(node.inputs[slot])
        if bias is not None:
            yield bias.astype(np.float64) * (-1.0 if op == "Sub" and slot == 1 else 1.0)


def _full_grad(ctx: Context, plan: Plan) -> Outcome:
    nodes = ctx.graph.between(ctx.graph.inputs, plan.logits)
    loop = next((node for node in nodes if course_of(node) is not None), None)
    if loop is not None:
        raise BadInput(
            f"full-grad draws a map for every bias, and those inside the {loop.op_type} node {loop.name!r} "
            "have none; use input-x-gradient."
        )
    flow = walk(ctx, {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}, nodes, find_vjp)
    found = Flow(dict(flow.at), flow.steps)
    for value in ctx.graph.inputs:
        if len(ctx.dims(value)) < 3 or value not in flow.at:
            raise BadInput(f"full-grad draws maps, and the input {value.name!r} is none; use input-x-gradient.")
        found.at[value] = ctx.op.Sum(*_maps(ctx, flow, nodes, value))
    return Outcome(found)


def _maps(ctx: Context, flow: Flow, nodes: list[ir.Node], image: ir.Value) -> Iterator[ir.Value]:
    """Yield the maps of the image and of all biases that stand on maps with as many axes."""
    op, rank = ctx.op, len(ctx.dims(image))
    yield _map(
        ctx, op.Mul(flow.at[image], ctx.read(image)), image, rank - 1 if channels_last(ctx.dims(image)) else 1, image
    )
    for node in nodes:
        value = node.outputs[0]
        if value in flow.at and _lies_as(ctx, value, image) and _has_places(ctx, value):
            for bias in biases(ctx, node):
                if max(bias.shape, default=1) < bias.size and _is_compared(ctx, value, nodes):
                    continue  # positions of queries and keys, in attention scores
                yield _map(ctx, op.Mul(flow.at[value], bias), value, _channel_axis(bias, rank), image)


def _channel_axis(bias: np.ndarray, rank: int) -> int:
    """Return which axis of [N, *sizes] a bias counts: the last of [..., C], else the first behind the batch."""
    return rank - 1 if bias.ndim and bias.shape[-1] > 1 else 1


def _lies_as(ctx: Context, value: ir.Value, image: ir.Value) -> bool:
    """Tell whether a tensor has the image's axes, the batch in front: not windows that a batch was divided into."""
    own, wanted = ctx.dims(value), ctx.dims(image)
    return len(own) == len(wanted) and own[0] == wanted[0] and (own[0] is not None or leads_with_batch(value))


def _is_compared(ctx: Context, value: ir.Value, nodes: Sequence[ir.Node]) -> bool:
    """Tell of what ends in a softmax among these nodes, through movement and arithmetic alone."""
    waiting, inside = [value], set(nodes)
    while waiting:
        for node in ctx.graph.consumers(waiting.pop()):
            if node not in inside:
                continue
            if facts_of(node).score_kind == "softmax":
                return True
            if facts_of(node).neutral or facts_of(node).role is Role.ARITHMETIC:
                waiting += node.outputs
    return False


def _has_places(ctx: Context, value: ir.Value) -> bool:
    return any((d or 1) > 1 for d in ctx.dims(value)[2:])


def _map(ctx: Context, product: ir.Value, value: ir.Value, channel: int, image: ir.Value) -> ir.Value:
    """ψ: sizes scaled to 0..1 per sample, summed over the channels, enlarged to the image. product [K, N, *value]."""
    op, rank = ctx.op, len(ctx.dims(value))
    sizes, axes = op.Abs(product), ctx.sample_axes(rank)
    sizes = op.Sub(sizes, op.ReduceMin(sizes, axes, keepdims=1))
    sizes = safe_divide(op, sizes, op.Add(op.ReduceMax(sizes, axes, keepdims=1), _EPSILON), nonnegative=True)
    places = [n for axis, n in enumerate(ctx.sizes(value), 1) if axis != channel]
    return resize_map(ctx, op.ReduceSum(sizes, [channel + 1], keepdims=0), places, image)


METHODS = (Method("full-grad", find_vjp, find_vjp, _full_grad),)
