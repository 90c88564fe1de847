"""Gradients of the score with respect to the input, and what is made of them."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.start import target_seeds
from rsp_onnx.compiler.walk import Lookup, walk
from rsp_onnx.graph.op_facts import plain_op
from rsp_onnx.graph.shapes import carries_ids
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import Parts, Rule, find_vjp


def _walked(ctx: Context, plan: Plan, gradients: Lookup) -> Outcome:
    start = {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}
    return Outcome(walk(ctx, start, ctx.graph.between(ctx.graph.inputs, plan.logits), gradients))


def gradient(ctx: Context, plan: Plan) -> Outcome:
    """∂y_t/∂x."""
    return _walked(ctx, plan, find_vjp)


def input_x_gradient(ctx: Context, plan: Plan) -> Outcome:
    """Return x ⊙ ∂y_t/∂x at every input; a token id has its embedding in its gradient already."""
    outcome = gradient(ctx, plan)
    for value in ctx.graph.inputs:
        is_number = value.dtype is not None and value.dtype.is_floating_point() and not carries_ids(value)
        if value in outcome.flow.at and is_number:
            outcome.flow.at[value] = ctx.op.Mul(outcome.flow.at[value], ctx.read(value))
    return outcome


def _guided(node: ir.Node) -> Rule | None:
    """Return the gradient of a node's op, but for a ReLU, which lets only positive gradients through."""
    found = find_vjp(node)
    if found is None or plain_op(node) != "Relu":
        return found

    def positive(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
        return found(ctx, node, ctx.op.Relu(g))

    return positive


def guided_backprop(ctx: Context, plan: Plan) -> Outcome:
    """∂y_t/∂x with negative gradients stopped at every ReLU."""
    return _walked(ctx, plan, _guided)


METHODS = (
    Method("gradient", find_vjp, find_vjp, gradient),
    Method("input-x-gradient", find_vjp, find_vjp, input_x_gradient),
    Method("guided-backprop", find_vjp, find_vjp, guided_backprop),
)
