"""Relative Sectional Propagation (Nam, Choi, Lee: AAAI 2021)."""

from __future__ import annotations

from rsp_onnx.compiler.head import mean_to_section
from rsp_onnx.compiler.method import Method, Outcome, Plan, to_section
from rsp_onnx.compiler.start import comparative_start, evidence, seeds, token_maps
from rsp_onnx.compiler.walk import feature_nodes, walk
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import find_frozen, find_rule, find_vjp


def propagate(ctx: Context, plan: Plan) -> Outcome:
    """Start at the section with what speaks for the target against its rivals, and walk to the inputs."""
    section, graph = plan.section, ctx.graph
    cotangents, valid = seeds(ctx, plan.classes, plan.logits)
    if section.token_axis is None:
        maps = ctx.op.Mul(ctx.read(section.value), mean_to_section(ctx, plan, cotangents))
    else:
        maps = token_maps(ctx, section, to_section(ctx, plan, cotangents, find_frozen))
    start = comparative_start(ctx, section, maps, valid)
    flow = walk(ctx, {section.value: start}, feature_nodes(graph, section.value), find_rule)
    peaks = ctx.op.Reshape(evidence(ctx, section, maps), ctx.op.Shape(valid))
    return Outcome(flow, ctx.op.Transpose(peaks, perm=[1, 2, 0]))


METHODS = (Method("rsp", find_rule, find_vjp, propagate),)
