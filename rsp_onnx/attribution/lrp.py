"""The LRP methods by name: where relevance starts, and which rule for which layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx_ir as ir

from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.start import class_count, target_seeds
from rsp_onnx.compiler.walk import walk
from rsp_onnx.errors import BadInput
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.registry import find_rule

from .lrp_rules import (
    STABILISER,
    Chooser,
    Composite,
    LinearRule,
    alpha_beta,
    epsilon,
    flat,
    gamma,
    signed_shares,
    w_square,
    z_box,
    z_plus,
)

Start: TypeAlias = Callable[[Context, Plan], ir.Value]
Parameters: TypeAlias = Mapping[str, float]


# ---- where relevance starts: [K, *shape of y] ----


def score(ctx: Context, plan: Plan) -> ir.Value:
    """y_t at the target, 0 elsewhere, so that ΣR = y_t (Bach et al. 2015, eq. (2))."""
    return ctx.op.Mul(target_seeds(ctx, plan.classes, plan.logits), ctx.read(plan.logits))


def size_of_score(ctx: Context, plan: Plan) -> ir.Value:
    """|y_t| at the target: where every layer shares by positive products, a sign would say nothing of any pixel."""
    return ctx.op.Abs(score(ctx, plan))


def against_all_others(ctx: Context, plan: Plan) -> ir.Value:
    """|y_t| at the target and −|y_t|/(classes − 1) at every other class (CLRP2, Gu et al. 2018).

    The paper explains both starts and subtracts; z⁺ is linear in r, so one walk does. The paper's map is the positive
    part of it.
    """
    op, hot = ctx.op, target_seeds(ctx, plan.classes, plan.logits)
    classes = class_count(ctx, plan.logits)
    size = op.ReduceSum(op.Abs(op.Mul(hot, ctx.read(plan.logits))), [2], keepdims=1)
    others = op.Mul(op.Sub(1.0, hot), 1.0 / max(classes - 1, 1))
    return op.Mul(size, op.Sub(hot, others))


def softmax_gradient(ctx: Context, plan: Plan) -> ir.Value:
    """∂p_t/∂y, p = softmax(y): p_t·(1 − p_t) at the target, −p_t·p_c elsewhere (Iwana et al. 2019)."""
    op, hot = ctx.op, target_seeds(ctx, plan.classes, plan.logits)
    p = op.Softmax(ctx.read(plan.logits), axis=1)
    own = op.ReduceSum(op.Mul(hot, p), [2], keepdims=1)
    return op.Mul(own, op.Sub(hot, p))


# ---- which rule for which layer ----


def everywhere(rule: LinearRule) -> Chooser:
    """Choose one rule for all layers."""
    return lambda layer: rule


def on_image(first: LinearRule, rest: Chooser) -> Chooser:
    """Choose one rule for the layers that read the image, the others by another choice (Montavon et al. 2017)."""
    return lambda layer: first if layer.image is not None else rest(layer)


def by_kind(convolution: LinearRule, dense: LinearRule) -> Chooser:
    """Choose one rule for convolutions, one for dense layers."""

    def choose(layer: LinearLayer) -> LinearRule:
        return dense if layer.dense else convolution

    return choose


def _not_negative(parameters: Parameters, *names: str) -> None:
    for name in names:
        if parameters[name] < 0:
            raise BadInput(f"{name} is a number from 0 on, not {parameters[name]:g}.")


def _epsilon(parameters: Parameters) -> Chooser:
    _not_negative(parameters, "epsilon")
    return everywhere(epsilon(parameters["epsilon"]))


def _gamma(parameters: Parameters) -> Chooser:
    _not_negative(parameters, "gamma")
    return everywhere(gamma(parameters["gamma"]))


def _alpha_beta(parameters: Parameters) -> Chooser:
    _not_negative(parameters, "alpha", "beta")
    alpha, beta = parameters["alpha"], parameters["beta"]
    if abs(alpha - beta - 1) > 1e-6:
        raise BadInput(f"alpha − beta must be 1, so that relevance keeps its sum; alpha={alpha:g} and beta={beta:g}.")
    return everywhere(alpha_beta(alpha, beta))


def fixed(choose: Chooser) -> Callable[[Parameters], Chooser]:
    """Return a choice that has no parameters."""
    return lambda parameters: choose


def method(
    name: str, choose: Callable[[Parameters], Chooser], start: Start = size_of_score, stabiliser: float = STABILISER
) -> Method:
    """Return an LRP method: one walk from the logits to the inputs."""

    def emit(ctx: Context, plan: Plan) -> Outcome:
        rules = Composite(choose(plan.parameters), epsilon(stabiliser), signed_shares(stabiliser))
        nodes = ctx.graph.between(ctx.graph.inputs, plan.logits)
        return Outcome(walk(ctx, {plan.logits: start(ctx, plan)}, nodes, rules.lookup))

    return Method(name, find_rule, find_rule, emit)


METHODS = (
    method("lrp-0", fixed(everywhere(epsilon(0))), score, stabiliser=0),
    method("lrp-epsilon", _epsilon, score),
    method("lrp-gamma", _gamma, score),
    method("lrp-alpha-beta", _alpha_beta),
    method("lrp-z-plus", fixed(everywhere(z_plus))),
    method("lrp-flat", fixed(on_image(flat, everywhere(z_plus)))),
    method("lrp-w-square", fixed(on_image(w_square, everywhere(z_plus)))),
    method("lrp-z-box", fixed(on_image(z_box, everywhere(z_plus)))),
    method("lrp-epsilon-plus-flat", fixed(on_image(flat, by_kind(alpha_beta(1.0, 0.0), epsilon(1e-6)))), score),
    method("lrp-epsilon-alpha2-beta1", fixed(by_kind(alpha_beta(2.0, 1.0), epsilon(1e-6))), score),
    method("clrp", fixed(everywhere(z_plus)), against_all_others),
    method("sglrp", fixed(everywhere(z_plus)), softmax_gradient),
)
