"""From the scores back to the section: the whole gradient, or no more of it than its mean over positions."""

from __future__ import annotations

import math

import onnx_ir as ir

from rsp_onnx.graph.op_facts import facts_of
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import find_totals, find_vjp

from .method import Plan, to_section
from .walk import head_nodes, walk


def mean_to_section(ctx: Context, plan: Plan, cotangents: ir.Value) -> ir.Value:
    """Return the mean over positions of ∂y/∂F, [G, N, C, 1, ...]: the weights of Grad-CAM and of RSP's start.

    The sum is taken before the last step of the way back where that step allows it: behind SqueezeNet's section the
    adjoint of a 1×1 convolution, behind VGG's a product with 25,088 columns, are then as good as free.
    """
    op, section = ctx.op, plan.section
    places = section.position_axes
    total = _totals(ctx, plan, cotangents) if places == tuple(range(2, len(ctx.dims(section.value)))) else None
    if total is None:
        gradient = to_section(ctx, plan, cotangents)
        return op.ReduceMean(gradient, [a + 1 for a in places], keepdims=1) if places else gradient
    sizes = ctx.sizes(section.value)
    mean = op.Div(total, float(math.prod(sizes[1:])))
    return op.Reshape(mean, op.Concat(op.Shape(cotangents, start=0, end=1), [-1, sizes[0], *[1] * len(places)], axis=0))


def _totals(ctx: Context, plan: Plan, cotangents: ir.Value) -> ir.Value | None:
    """Return Σ over positions of ∂y/∂F as [G, ..., C]; None where the first op behind the section needs each one."""
    nodes, value = head_nodes(ctx.graph, plan.section.value, plan.logits), plan.section.value
    while True:
        readers = [node for node in nodes if value in node.inputs]
        if len(readers) != 1 or value is plan.logits or list(readers[0].inputs).count(value) != 1:
            return None
        (node,) = readers
        if not facts_of(node).keeps_totals:
            break
        value = node.outputs[0]
    rule = find_totals(node)
    if rule is None or value is not node.inputs[0]:
        return None
    head = ctx.with_front(ctx.op.Shape(cotangents, start=0, end=1))
    found = walk(head, {plan.logits: cotangents}, nodes[nodes.index(node) + 1 :], find_vjp).at.get(node.outputs[0])
    return None if found is None else rule(head, node, found, ctx.sizes(plan.section.value)[0])
