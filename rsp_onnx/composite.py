"""A method says how relevance starts and which table the walk looks into; methods are found by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from .compiler import Flow, Lookup, feature_nodes, head_nodes, walk
from .context import Context
from .errors import BadInput
from .registry import find_frozen, find_rule, find_vjp
from .section import Section
from .targets import (
    Classes,
    activation_maps,
    averaged_maps,
    comparative_start,
    evidence,
    seeds,
    target_seeds,
)
from .token_section import token_axis, token_grid


@dataclass(frozen=True)
class Plan:
    """What a method works on: the section, the logits and the classes asked for."""

    section: Section
    logits: ir.Value
    classes: Classes
    front: ir.Value


@dataclass(frozen=True)
class Outcome:
    """What a method emitted: relevance by tensor, and how strongly the section speaks for each class."""

    flow: Flow
    evidence: ir.Value | None = None


@dataclass(frozen=True)
class Method:
    """A named method.

    Attributes
    ----------
    features, head : callable
        Which rule for which node, on either side of the section.
    emit : callable
        Writes the backward pass.
    conserves : bool
        Its rules keep the sum of relevance, so that what a node loses means something.
    """

    name: str
    title: str
    paper: str
    features: Lookup
    head: Lookup
    emit: Callable[[Context, Plan], Outcome]
    whole: bool = True
    conserves: bool = False


def _rsp(ctx: Context, plan: Plan) -> Outcome:
    section, graph = plan.section, ctx.graph
    cotangents, valid = seeds(ctx, plan.classes, plan.logits)
    tokens = section.token_axis is not None
    gradient = _to_section(ctx, plan, cotangents, find_frozen if tokens else find_vjp)
    maps = activation_maps(ctx, section, gradient)
    start = comparative_start(ctx, section, maps, valid)
    flow = walk(ctx, {section.value: start}, feature_nodes(graph, section.value), find_rule)
    peaks = ctx.op.Reshape(evidence(ctx, section, maps), ctx.op.Shape(valid))
    return Outcome(flow, ctx.op.Transpose(peaks, perm=[1, 2, 0]))


def _to_section(ctx: Context, plan: Plan, cotangents: ir.Value, gradients: Lookup = find_vjp) -> ir.Value:
    """Walk cotangents of y to the section; their leading axis is their own."""
    if plan.section.value is plan.logits:
        return cotangents
    front = ctx.op.Shape(cotangents, start=0, end=1)
    head = ctx.with_front(front)
    nodes = head_nodes(ctx.graph, plan.section.value, plan.logits)
    return walk(head, {plan.logits: cotangents}, nodes, gradients).at[plan.section.value]


def _gradient(ctx: Context, plan: Plan) -> Outcome:
    start = {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}
    return Outcome(walk(ctx, start, ctx.graph.between(ctx.graph.inputs, plan.logits), find_vjp))


def _grad_cam(ctx: Context, plan: Plan) -> Outcome:
    gradient = _to_section(ctx, plan, target_seeds(ctx, plan.classes, plan.logits))
    return _class_activation(ctx, plan.section, averaged_maps(ctx, plan.section, gradient))


def _hires_cam(ctx: Context, plan: Plan) -> Outcome:
    gradient = _to_section(ctx, plan, target_seeds(ctx, plan.classes, plan.logits))
    return _class_activation(ctx, plan.section, ctx.op.Mul(ctx.read(plan.section.value), gradient))


def _class_activation(ctx: Context, section: Section, maps: ir.Value) -> Outcome:
    """Return the positive part of the channel sum, enlarged to the image."""
    op = ctx.op
    cam = op.Relu(op.ReduceSum(maps, [section.channel_axis + 1], keepdims=1))
    flow = Flow({section.value: cam})
    for value in ctx.graph.inputs:
        flow.at[value] = _enlarge(ctx, section, cam, value)
    return Outcome(flow)


def _enlarge(ctx: Context, section: Section, cam: ir.Value, image: ir.Value) -> ir.Value:
    """Resize the map to the image and spread it over the channels, so that the channel sum is the map."""
    op, rank = ctx.op, len(ctx.dims(image))
    flat, places = _as_picture(ctx, section, cam, rank - 2)
    sizes = ctx.sizes(image)
    last = rank == 4 and sizes[-1] in (1, 3, 4) and sizes[0] not in (1, 3, 4)
    target = sizes[:-1] if last else sizes[1:]
    channels = sizes[-1] if last else sizes[0]
    flat = op.Reshape(flat, [-1, 1, *places])
    wide = op.Resize(flat, None, None, op.Concat(op.Shape(flat, start=0, end=1), [1, *target], axis=0), mode="linear")
    spread = op.Div(wide, float(channels))
    if last:
        return op.Expand(ctx.part(spread, *target, 1), [1, 1, *target, channels])
    return op.Expand(ctx.part(spread, 1, *target), [1, 1, channels, *target])


def _as_picture(ctx: Context, section: Section, cam: ir.Value, axes: int) -> tuple[ir.Value, list[int]]:
    """Return the map and its sizes as a picture: tokens in the grid they were made of, class tokens left out."""
    places = [ctx.sizes(section.value)[a - 1] for a in section.position_axes if a > 0]
    if len(places) == axes:
        return cam, places
    axis = token_axis(ctx.dims(section.value), section.position_axes)
    count = None if axis is None else ctx.dims(section.value)[axis]
    grid = None if count is None else token_grid(ctx.graph, section.value, count, axes)
    if axis is None or grid is None or count is None:
        raise BadInput("Grad-CAM needs a section with as many spatial axes as the image; name one with --section.")
    first, *sizes = grid
    return ctx.op.Slice(cam, [first], [count], [axis + 1]), sizes


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
            find_vjp, find_vjp, _gradient,
        ),
        Method(
            "grad-cam", "Grad-CAM",
            "Selvaraju et al.: Grad-CAM, ICCV 2017, arXiv 1610.02391",
            find_vjp, find_vjp, _grad_cam, whole=False,
        ),
        Method(
            "hires-cam", "HiResCAM: Grad-CAM without averaging the gradient",
            "Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations, arXiv 2011.08891",
            find_vjp, find_vjp, _hires_cam, whole=False,
        ),
    )
}  # fmt: skip


def find_method(name: str) -> Method:
    """Return a method by name; BadInput lists the names where there is none."""
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    return METHODS[name]


def methods() -> list[dict[str, str]]:
    """Return the methods: one record of name, title and paper each."""
    return [{"name": m.name, "title": m.title, "paper": m.paper} for m in METHODS.values()]
