"""Relative Attributing Propagation (Nam et al. 2020).

In the classifier's input all that contributes counts, by its size; from there positive and negative contributions
share relevance of either sign, and a uniform shift restores the sum. The formulas were read from the authors' release
(github wjNam/Relative_Attributing_Propagation) and checked by running it (benchmarks/releases_beside.py). Where a layer
reads signed activations, the release hands all of R to x⁺ and all of it again to x⁻; here the products x·w are taken
together by their sign: the same for x ≥ 0, and the sum is kept.
"""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.compiler.start import target_seeds
from rsp_onnx.compiler.walk import walk
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import per_sample, safe_divide, uniform_shift
from rsp_onnx.rulekit.registry import find_rule, find_vjp, linear_layer
from rsp_onnx.rulekit.shares import gather, output_of, products, total

from .lrp_rules import Composite, LinearRule, epsilon, signed_shares, z_box


def propagate(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """C = x⊙w⁺ᵀ(R⁺⊘Z₁) + x⊙|w⁻|ᵀ(R⁺⊘(Z₁+Z₂)) and the same of R⁻, then C − 1[C≠0]·(ΣC − ΣR)/#{C≠0}.

    Z₁ sums the positive products, Z₂ the sizes of the negative ones. What is R⁺⊘Z₁ in the first term is R⁻⊘Z₂ among
    the negative products for convolutions and R⁻⊘Z₁ for dense layers, as the release has it. r: [K, N, *out].
    """
    op, rank = ctx.op, len(ctx.dims(layer.source))
    upper, lower = products(ctx, layer, 1, -1)
    z1, negative = total(ctx, layer, upper, None, 1), total(ctx, layer, lower, None, -1)  # the latter is −Z₂
    above = r if layer.dense else op.Relu(r)
    to_lower = op.Div(r, op.Sub(negative, z1))
    if not layer.dense:
        to_lower = op.Add(to_lower, op.Div(op.Sub(r, above), negative))
    c = gather(ctx, layer, [(op.Div(above, z1), upper), (to_lower, lower)])
    return uniform_shift(ctx, c, op.Sub(per_sample(ctx, c, rank), per_sample(ctx, r, rank)), rank)


def classify(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """|x⊙w_t| / Σ|x⊙w_t| · y_t: every unit the class is made of counts, whatever its sign. r ≠ 0 marks the class."""
    op, rank = ctx.op, len(ctx.dims(layer.source))
    asked = op.Cast(op.Cast(r, to=int(ir.DataType.BOOL)), to=int(op.type))
    sizes = op.Abs(op.Mul(ctx.read(layer.source), layer.adjoint(asked, layer.weight)))
    score = per_sample(ctx, op.Mul(asked, output_of(ctx, layer)), rank)
    return op.Mul(sizes, safe_divide(op, score, per_sample(ctx, sizes, rank), nonnegative=True))


def _rap(ctx: Context, plan: Plan) -> Outcome:
    nodes = ctx.graph.between(ctx.graph.inputs, plan.logits)
    classifier = next((n for n in reversed(nodes) if _has_weights(ctx, n)), None)

    def choose(layer: LinearLayer) -> LinearRule:
        if layer.image is not None:
            return z_box
        return classify if classifier is not None and layer.node.name == classifier.name else propagate

    composite = Composite(choose, epsilon(0.0), signed_shares(0.0))
    return Outcome(walk(ctx, {plan.logits: target_seeds(ctx, plan.classes, plan.logits)}, nodes, composite.lookup))


def _has_weights(ctx: Context, node: ir.Node) -> bool:
    layer = linear_layer(ctx, node)
    return layer is not None and layer.weight is not None


METHODS = (Method("rap", find_rule, find_vjp, _rap),)
