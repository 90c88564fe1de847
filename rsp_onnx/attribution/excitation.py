"""Excitation backprop: probabilities handed down by positive weights and activations, to the first feature map.

Zhang et al.: Top-down Neural Attention by Excitation Backprop, ECCV 2016, IJCV 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.axes.places import grid_of
from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.section import Section, find_section
from rsp_onnx.compiler.start import target_seeds
from rsp_onnx.compiler.token_section import token_axis
from rsp_onnx.compiler.walk import Flow, walk
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import Role, facts_of, is_layer
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import add_all, bias_below, divide_sum, per_sample, safe_divide
from rsp_onnx.rulekit.registry import find_rule
from rsp_onnx.rulekit.shares import positive_of, share_by

from .cams import enlarge
from .lrp_rules import Chooser, Composite


def excite(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """x ⊙ (W⁺)ᵀ(r ⊘ x·W⁺), x = [X]₊, the bias left out; of a mean x ⊙ vjp(r ⊘ mean x)."""
    return _by_positive(ctx, layer, r, layer.weight)


def contrast(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """Excitation by W minus excitation by −W, the unit of "not this class", both with r's sum.

    r: [K, N, *out] ≥ 0, a probability over the layer's outputs.
    """
    op, total = ctx.op, per_sample(ctx, r, len(ctx.dims(layer.node.outputs[0])))
    sides = []
    for weight in (layer.weight, op.Neg(layer.weight)):
        side = _by_positive(ctx, layer, r, weight)
        own = per_sample(ctx, side, len(ctx.dims(layer.source)))
        sides.append(op.Mul(side, safe_divide(op, total, own, nonnegative=True)))
    return op.Sub(*sides)


def _by_positive(ctx: Context, layer: LinearLayer, r: ir.Value, weight: ir.Value | None) -> ir.Value:
    x = positive_of(ctx, layer)
    if weight is not None:
        return share_by(ctx, layer, r, [(x, ctx.op.Relu(weight))], sign=1)
    s = safe_divide(ctx.op, r, layer.apply(x, None), nonnegative=True)
    return ctx.op.Mul(x, layer.adjoint(s, None))


def _positive_shares(op: Emitter, r: ir.Value, values: Sequence[ir.Value]) -> list[ir.Value]:
    """Summands get r in proportion to [x]₊."""
    sizes = [op.Relu(x) for x in values]
    each = divide_sum(op, r, add_all(op, sizes), bias_below(op, 1.0))
    return [op.Mul(x, each) for x in sizes]


def excitation_backprop(ctx: Context, plan: Plan) -> Outcome:
    """Start with probability 1 at the target; the map is the channel sum at the first feature map, enlarged."""
    return _excitation(ctx, plan, lambda layer: excite)


def contrastive_excitation_backprop(ctx: Context, plan: Plan) -> Outcome:
    """Start as ``excitation_backprop``; the classifier's layer hands down the difference of W and −W."""
    last = {node.name for node in _classifiers(ctx.graph.between(ctx.graph.inputs, plan.logits), ctx.graph)}
    return _excitation(ctx, plan, lambda layer: contrast if layer.node.name in last else excite)


def _classifiers(nodes: Sequence[ir.Node], graph: Graph) -> list[ir.Node]:
    """Return the layers with weights behind which there is no other one."""
    last: list[ir.Node] = []
    leading: set[ir.Value] = set()  # tensors that some layer behind them reads
    for node in reversed(nodes):
        covered, layer = not leading.isdisjoint(node.outputs), is_layer(node)
        if layer and not covered:
            last.append(node)
        if layer or covered:
            leading.update(graph.active_inputs(node))
    return last


def _excitation(ctx: Context, plan: Plan, choose: Chooser) -> Outcome:
    place = first_map(ctx.graph, plan.logits)
    sources = ctx.graph.inputs if place is None else [place.value]
    rules = Composite(choose, excite, _positive_shares)
    start = {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}
    flow = walk(ctx, start, ctx.graph.between(sources, plan.logits), rules.lookup)
    return Outcome(flow if place is None else _enlarged(ctx, place, flow))


def _enlarged(ctx: Context, place: Section, flow: Flow) -> Flow:
    summed = ctx.op.ReduceSum(flow.at[place.value], [place.channel_axis + 1], keepdims=1)
    for value in ctx.graph.inputs:
        flow.at[value] = enlarge(ctx, place, summed, value)
    return flow


def first_map(graph: Graph, logits: ir.Value) -> Section | None:
    """Return the earliest tensor with positions that every path crosses, behind a layer and an activation.

    None where there is none, such as in a network on tables: there the walk goes on to the input.
    """
    candidates = [v for v in reversed(graph.dominators(logits)) if v not in graph.inputs and v is not logits]
    for value in candidates:
        if not _is_activated(graph.between(graph.inputs, value)):
            continue
        section = find_section(graph, logits, value.name)
        if _is_picture(graph, section):
            return section
    return None


def _is_activated(nodes: Sequence[ir.Node]) -> bool:
    """Tell whether an activation stands behind a layer with weights."""
    layers = [i for i, node in enumerate(nodes) if is_layer(node)]
    if not layers:
        return False
    after = nodes[layers[0] + 1 :]
    fused = any(attribute(nodes[i], "activation") for i in layers)
    return fused or any(facts_of(node).role is Role.ACTIVATION for node in after)


def _is_picture(graph: Graph, place: Section) -> bool:
    """Tell whether the positions are a picture's: as many axes as every input has, or tokens in its grid."""
    sizes, axes = graph.dims(place.value), {len(graph.dims(v)) - 2 for v in graph.inputs}
    places = [a for a in place.position_axes if a > 0]
    if len(axes) != 1 or math.prod(sizes[a] or 1 for a in places) <= 1:
        return False
    if axes == {len(places)}:
        return True
    return (
        token_axis(sizes, place.position_axes) is not None
        and bool(graph.inputs)
        and all(grid_of(graph, place.value, places, image) is not None for image in graph.inputs)
    )


METHODS = (
    Method("excitation-backprop", find_rule, find_rule, excitation_backprop),
    Method("contrastive-excitation-backprop", find_rule, find_rule, contrastive_excitation_backprop),
)
