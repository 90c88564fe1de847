"""Attribution Equilibrium (Nam, Choi, Lee: TPAMI 2024): what speaks for the class is balanced by what does not.

It starts at the section as RSP's one-class form does, and in every layer shares the positive relevance among active
units and the negative one among inactive ones too, by the sizes of the weights. The formulas were read from the
authors' release (github wjNam/Attribution-Equilibrium) and checked by running it (benchmarks/releases_beside.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.compiler.head import mean_to_section
from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.start import target_seeds
from rsp_onnx.compiler.walk import feature_nodes, walk
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import EPSILON, per_sample, safe_divide, signs, uniform_shift
from rsp_onnx.rulekit.registry import find_rule, find_vjp
from rsp_onnx.rulekit.shares import positive_of, share_by

from .lrp_rules import Composite, LinearRule, z_box


def balance(ratio: float) -> LinearRule:
    """Propagate T = ratio·R⁺/ΣR⁺ and O = −R⁻/ΣR⁻, normalised anew in every layer.

    C = x⁺⊙|W|ᵀ(T⊘Z) − x⁺⊙|W|ᵀ(O⊘Z) with Z = x⁺·|W|, shifted uniformly by 1, where the kernel has more than one entry;
    to it come T/ratio shared evenly among active units and −O among inactive ones, by |W|: with ratio 2 the sum is 0.
    In 1×1 layers T/ratio takes the place of T and nothing is shifted.
    """

    def share(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
        op, rank = ctx.op, len(ctx.dims(layer.source))
        size, x = op.Abs(layer.weight), ctx.read(layer.source)
        target, other = (_normalised(ctx, part, rank) for part in signs(op, r))
        wide = not _pointwise(ctx, layer)
        both = op.Sub(op.Mul(target, ratio), other) if wide else op.Sub(target, other)
        c = _shared(ctx, layer, both, positive_of(ctx, layer), size)
        if wide:
            one = per_sample(ctx, target, rank)  # 1, or 0 where there is no positive relevance
            c = uniform_shift(ctx, c, one, rank)
        active = op.Cast(op.Greater(x, 0.0), to=int(op.type))
        inactive = op.Sub(1.0, active)
        even = _shared(ctx, layer, target, active, size)
        return op.Sub(op.Add(c, even), _shared(ctx, layer, other, inactive, size))

    return share


def _shared(ctx: Context, layer: LinearLayer, r: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
    """x⊙wᵀ(r⊘(x·w)), neither x nor w negative."""
    return share_by(ctx, layer, r, [(x, w)], sign=1)


def _normalised(ctx: Context, part: ir.Value, rank: int) -> ir.Value:
    """Divide what is not negative by its sum; 0 where the sum is."""
    op = ctx.op
    return op.Mul(part, safe_divide(op, op.constant(1.0), per_sample(ctx, part, rank), nonnegative=True))


def _pointwise(ctx: Context, layer: LinearLayer) -> bool:
    weight = layer.node.inputs[1]
    return layer.dense or (weight is not None and all(d == 1 for d in ctx.dims(weight)[2:]))


def _mean(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """X⊙opᵀ(R⊘op(X)), X = x⁺ + 1e-9."""
    x = ctx.op.Add(ctx.op.Relu(ctx.read(layer.source)), EPSILON)
    return ctx.op.Mul(x, layer.adjoint(safe_divide(ctx.op, r, layer.apply(x, None)), None))


def _evenly(op: Emitter, r: ir.Value, summands: Sequence[ir.Value]) -> list[ir.Value]:
    return [op.Div(r, float(len(summands)))] * len(summands)


def _equilibrium(ctx: Context, plan: Plan) -> Outcome:
    section, op = plan.section, ctx.op
    rank = len(ctx.dims(section.value))
    weights = mean_to_section(ctx, plan, target_seeds(ctx, plan.classes, plan.logits))
    start = op.Mul(ctx.read(section.value), weights)
    start = safe_divide(op, start, op.Abs(per_sample(ctx, start, rank)), nonnegative=True)
    rule = balance(plan.parameters["ratio"])
    composite = Composite(lambda layer: rule if layer.image is None else z_box, _mean, _evenly)
    return Outcome(walk(ctx, {section.value: start}, feature_nodes(ctx.graph, section.value), composite.lookup))


METHODS = (Method("attribution-equilibrium", find_rule, find_vjp, _equilibrium),)
