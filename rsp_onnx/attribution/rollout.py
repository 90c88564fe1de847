"""Attention rollout (Abnar and Zuidema 2020): which tokens the last layer listens to, through all layers. No class."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.walk import Flow
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.op_facts import facts_of, plain_op
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import find_vjp

from .cams import enlarge


def attentions(ctx: Context, plan: Plan) -> list[ir.Value]:
    """Return the attention weights [N, heads..., T, T] in order: softmaxes over as many tokens as ask."""
    found = []
    for node in ctx.graph.between(ctx.graph.inputs, plan.logits):
        value = node.outputs[0]
        sizes = ctx.dims(value)
        square = len(sizes) >= 3 and sizes[-1] == sizes[-2] and (sizes[-1] or 0) > 1
        if plain_op(node) == "Softmax" and square and _weighs(ctx, value):
            found.append(value)
    return found


def _weighs(ctx: Context, value: ir.Value) -> bool:
    """Tell whether a softmax's result is multiplied with values."""
    readers = ctx.graph.consumers(value)
    while len(readers) == 1 and facts_of(readers[0]).neutral:
        readers = ctx.graph.consumers(readers[0].outputs[0])
    return any(plain_op(r) in ("MatMul", "Einsum") for r in readers)


def _rollout(ctx: Context, plan: Plan) -> Outcome:
    """Π (A + I)/2 over the layers, A the mean over the heads; the class token's row, else the mean row."""
    op, section = ctx.op, plan.section
    weights = attentions(ctx, plan)
    tokens = ctx.dims(section.value)[section.token_axis] if section.token_axis is not None else None
    if not weights or any(ctx.dims(w)[-1] != tokens for w in weights):
        raise BadInput(
            "attention-rollout needs a transformer in which every layer attends from all tokens to all tokens, and "
            "writes its attention as a Softmax; this model does not."
        )
    assert tokens is not None
    joint: ir.Value | None = None
    for value in weights:
        heads = list(range(1, len(ctx.dims(value)) - 2))
        mean = op.ReduceMean(ctx.read(value), heads, keepdims=0) if heads else ctx.read(value)
        own = op.Div(op.Add(mean, _identity(ctx, tokens)), 2.0)
        joint = own if joint is None else op.MatMul(own, joint)
    row = op.Slice(joint, [0], [1], [1]) if section.extra_tokens else op.ReduceMean(joint, [1], keepdims=1)
    cam = op.Expand(op.Unsqueeze(op.Transpose(row, perm=[0, 2, 1]), [0]), op.Concat(plan.front, [1, 1, 1], axis=0))
    flow = Flow({section.value: cam})
    for image in ctx.graph.inputs:
        flow.at[image] = enlarge(ctx, section, cam, image)
    return Outcome(flow)


def _identity(ctx: Context, tokens: int) -> ir.Value:
    return ctx.op.constant(np.eye(tokens))


METHODS = (Method("attention-rollout", find_vjp, find_vjp, _rollout, walks_features=False),)
