"""The methods by name: RSP, gradients, class activation maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import onnx_ir as ir

from .cams import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from .compiler import feature_nodes, walk
from .context import Context
from .errors import BadInput
from .graph import plain_op
from .method import Method, Outcome, Plan, to_section
from .registry import Parts, Rule, find_frozen, find_rule, find_vjp
from .specs import numbers, parse_spec
from .targets import activation_maps, comparative_start, evidence, seeds, target_seeds


def _rsp(ctx: Context, plan: Plan) -> Outcome:
    section, graph = plan.section, ctx.graph
    cotangents, valid = seeds(ctx, plan.classes, plan.logits)
    tokens = section.token_axis is not None
    gradient = to_section(ctx, plan, cotangents, find_frozen if tokens else find_vjp)
    maps = activation_maps(ctx, section, gradient)
    start = comparative_start(ctx, section, maps, valid)
    flow = walk(ctx, {section.value: start}, feature_nodes(graph, section.value), find_rule)
    peaks = ctx.op.Reshape(evidence(ctx, section, maps), ctx.op.Shape(valid))
    return Outcome(flow, ctx.op.Transpose(peaks, perm=[1, 2, 0]))


def _gradient(ctx: Context, plan: Plan) -> Outcome:
    start = {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}
    return Outcome(walk(ctx, start, ctx.graph.between(ctx.graph.inputs, plan.logits), find_vjp))


def _input_x_gradient(ctx: Context, plan: Plan) -> Outcome:
    """Return x ⊙ ∂y/∂x at every input; a token id has its embedding in its gradient already."""
    outcome = _gradient(ctx, plan)
    for value in ctx.graph.inputs:
        if value in outcome.flow.at and value.dtype is not None and value.dtype.is_floating_point():
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


def _guided_backprop(ctx: Context, plan: Plan) -> Outcome:
    start = {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}
    return Outcome(walk(ctx, start, ctx.graph.between(ctx.graph.inputs, plan.logits), _guided))


METHODS = {
    m.name: m
    for m in (
        Method(
            "rsp", "Relative Sectional Propagation",
            "Nam, Choi, Lee: Interpreting Deep Neural Networks with Relative Sectional Propagation, AAAI 2021, "
            "arXiv 2012.03434",
            find_rule, find_vjp, _rsp, conserves=True,
        ),
        Method(
            "gradient", "Gradient (saliency)",
            "Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, ICLR workshop 2014, arXiv 1312.6034",
            find_vjp, find_vjp, _gradient, signed=False,
        ),
        Method(
            "input-x-gradient", "Input times gradient",
            "Shrikumar et al.: Not Just a Black Box, 2016, arXiv 1605.01713",
            find_vjp, find_vjp, _input_x_gradient,
        ),
        Method(
            "guided-backprop", "Guided backpropagation",
            "Springenberg et al.: Striving for Simplicity, ICLR workshop 2015, arXiv 1412.6806",
            find_vjp, find_vjp, _guided_backprop, signed=False,
        ),
        Method(
            "grad-cam", "Grad-CAM",
            "Selvaraju et al.: Grad-CAM, ICCV 2017, arXiv 1610.02391",
            find_vjp, find_vjp, grad_cam, whole=False,
        ),
        Method(
            "grad-cam-plus-plus", "Grad-CAM++",
            "Chattopadhay et al.: Grad-CAM++, WACV 2018, arXiv 1710.11063",
            find_vjp, find_vjp, grad_cam_plus_plus, whole=False,
        ),
        Method(
            "layer-cam", "LayerCAM",
            "Jiang et al.: LayerCAM, IEEE Transactions on Image Processing 2021",
            find_vjp, find_vjp, layer_cam, whole=False,
        ),
        Method(
            "hires-cam", "HiResCAM: Grad-CAM without averaging the gradient",
            "Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations, arXiv 2011.08891",
            find_vjp, find_vjp, hires_cam, whole=False,
        ),
    )
}  # fmt: skip


def find_method(spec: str) -> Method:
    """Return a method by name, with parameters where they are given as ``name:parameter=value``.

    Raises
    ------
    BadInput
        There is no such method or parameter; the message lists those that there are.
    """
    name, given = parse_spec(spec)
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    found = METHODS[name]
    return replace(found, parameters=numbers(spec, given, found.parameters))


def methods() -> list[dict[str, Any]]:
    """Return the methods: one record of name, title, paper and parameters (with their defaults) each."""
    return [
        {"name": m.name, "title": m.title, "paper": m.paper, "parameters": dict(m.parameters)} for m in METHODS.values()
    ]
