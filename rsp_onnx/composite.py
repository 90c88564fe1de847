"""The methods by name: RSP, gradients, class activation maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .cams import CAM_METHODS
from .compiler import feature_nodes, walk
from .context import Context
from .equilibrium import EQUILIBRIUM_METHODS
from .errors import BadInput
from .excitation import EXCITATION_METHODS
from .full_grad import FULL_GRAD_METHODS
from .gradients import GRADIENT_METHODS
from .lrp_methods import LRP_METHODS
from .method import Method, Outcome, Plan, to_section
from .perturbations import REPEATED_METHODS
from .rap import RAP_METHODS
from .registry import find_frozen, find_rule, find_vjp
from .rollout import ROLLOUT_METHODS
from .specs import numbers, parse_spec
from .targets import activation_maps, comparative_start, evidence, seeds


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


METHODS = {
    m.name: m
    for m in (
        Method(
            "rsp", "Relative Sectional Propagation",
            "Nam, Choi, Lee: Interpreting Deep Neural Networks with Relative Sectional Propagation, AAAI 2021, "
            "arXiv 2012.03434",
            find_rule, find_vjp, _rsp, conserves=True, distributes=True,
        ),
        *GRADIENT_METHODS,
        *LRP_METHODS,
        *RAP_METHODS,
        *EQUILIBRIUM_METHODS,
        *EXCITATION_METHODS,
        *REPEATED_METHODS,
        *FULL_GRAD_METHODS,
        *CAM_METHODS,
        *ROLLOUT_METHODS,
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
