"""Class activation maps: the section's features weighted by gradients, enlarged to the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.axes.places import grid_of
from rsp_onnx.compiler.head import mean_to_section
from rsp_onnx.compiler.method import Method, Outcome, Plan, to_section
from rsp_onnx.compiler.section import Section
from rsp_onnx.compiler.start import target_seeds
from rsp_onnx.compiler.walk import Flow
from rsp_onnx.errors import BadInput
from rsp_onnx.layout import channels_last
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import safe_divide
from rsp_onnx.rulekit.registry import find_vjp


def grad_cam(ctx: Context, plan: Plan) -> Outcome:
    """[Σ_c F_c · mean over positions of ∂y/∂F_c]₊ (Selvaraju et al. 2017, eqs. (1) and (2))."""
    weights = mean_to_section(ctx, plan, target_seeds(ctx, plan.classes, plan.logits))
    return _class_activation(ctx, plan.section, ctx.op.Mul(ctx.read(plan.section.value), weights))


def hires_cam(ctx: Context, plan: Plan) -> Outcome:
    """[Σ_c F_c ⊙ ∂y/∂F_c]₊ (Draelos and Carin 2020)."""
    return _class_activation(ctx, plan.section, ctx.op.Mul(ctx.read(plan.section.value), _gradient(ctx, plan)))


def layer_cam(ctx: Context, plan: Plan) -> Outcome:
    """[Σ_c F_c ⊙ [∂y/∂F_c]₊]₊ (Jiang et al. 2021, eqs. (6) and (7))."""
    op = ctx.op
    return _class_activation(ctx, plan.section, op.Mul(ctx.read(plan.section.value), op.Relu(_gradient(ctx, plan))))


def grad_cam_plus_plus(ctx: Context, plan: Plan) -> Outcome:
    """[Σ_c w_c F_c]₊, w_c = Σ over positions of α ⊙ [g]₊, α = g²⊘(2g² + g³·Σ F) (Chattopadhay et al. 2018, eq. (19)).

    The score is taken as exp(y), whose derivatives are powers of g = ∂y/∂F times a common factor.
    """
    op, section = ctx.op, plan.section
    g, features = _gradient(ctx, plan), ctx.read(section.value)
    square, places = op.Mul(g, g), [a + 1 for a in section.position_axes]
    total = op.ReduceSum(features, list(section.position_axes), keepdims=1) if places else features
    alpha = safe_divide(op, square, op.Add(op.Mul(square, 2.0), op.Mul(op.Mul(square, g), total)))
    weights = op.Mul(alpha, op.Relu(g))
    weights = op.ReduceSum(weights, places, keepdims=1) if places else weights
    return _class_activation(ctx, section, op.Mul(weights, features))


def _gradient(ctx: Context, plan: Plan) -> ir.Value:
    return to_section(ctx, plan, target_seeds(ctx, plan.classes, plan.logits))


def _class_activation(ctx: Context, section: Section, maps: ir.Value) -> Outcome:
    """Return the positive part of the channel sum, enlarged to the image."""
    op = ctx.op
    cam = op.Relu(op.ReduceSum(maps, [section.channel_axis + 1], keepdims=1))
    flow = Flow({section.value: cam})
    for value in ctx.graph.inputs:
        flow.at[value] = enlarge(ctx, section, cam, value)
    return Outcome(flow)


def enlarge(ctx: Context, section: Section, cam: ir.Value, image: ir.Value) -> ir.Value:
    """Resize the map to the image and spread it over the channels, so that the channel sum is the map."""
    return resize_map(ctx, *as_picture(ctx, section, cam, image), image)


def resize_map(ctx: Context, cam: ir.Value, places: Sequence[int], image: ir.Value) -> ir.Value:
    """Resize a map of these sizes to the image, bilinearly, and spread it over the channels: [K, N, *image]."""
    op = ctx.op
    sizes = ctx.sizes(image)
    last = channels_last(ctx.dims(image))
    target = sizes[:-1] if last else sizes[1:]
    channels = sizes[-1] if last else sizes[0]
    flat = op.Reshape(cam, [-1, 1, *places])
    wide = op.Resize(flat, None, None, op.Concat(op.Shape(flat, start=0, end=1), [1, *target], axis=0), mode="linear")
    spread = op.Div(wide, float(channels))
    if last:
        return op.Expand(ctx.part(spread, *target, 1), [1, 1, *target, channels])
    return op.Expand(ctx.part(spread, 1, *target), [1, 1, channels, *target])


def as_picture(ctx: Context, section: Section, cam: ir.Value, image: ir.Value) -> tuple[ir.Value, list[int]]:
    """Return the map and its sizes as a picture: tokens where they lie in the image, class tokens left out."""
    sizes, places = ctx.sizes(section.value), [a for a in section.position_axes if a > 0]
    as_it_is = cam, [sizes[a - 1] for a in places]
    is_map = len(places) == len(ctx.dims(image)) - 2
    if is_map and section.channel_axis == 1:
        return as_it_is
    grid = grid_of(ctx.graph, section.value, places, image)
    if grid is None and is_map:
        return as_it_is
    if grid is None:
        raise BadInput(
            "The positions of the section cannot be laid out over the image; name one whose positions form a grid with "
            "--section."
        )
    index, extents = grid
    return ctx.op.Gather(ctx.op.Reshape(cam, [-1, math.prod(as_it_is[1])]), index, axis=1), extents


METHODS = (
    Method("grad-cam", find_vjp, find_vjp, grad_cam, walks_features=False),
    Method("grad-cam-plus-plus", find_vjp, find_vjp, grad_cam_plus_plus, walks_features=False),
    Method("layer-cam", find_vjp, find_vjp, layer_cam, walks_features=False),
    Method("hires-cam", find_vjp, find_vjp, hires_cam, walks_features=False),
)
