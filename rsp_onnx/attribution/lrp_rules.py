"""Layer-wise relevance propagation: what a rule does to any linear layer, and the walk from the score to the input.

What a linear op is, the rules package says (``linear``); here every rule is written once, for all of them. All rules
share relevance r by products of inputs and weights, R_i = Σ_j x_i·w_ij / Σ_i' x_i'·w_i'j · r_j, and differ in what
they take for x and w (Montavon et al.: Layer-Wise Relevance Propagation, an Overview, 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import facts_of
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import LinearLayer
from rsp_onnx.rulekit.numerics import add_all, safe_divide, unbroadcast
from rsp_onnx.rulekit.registry import Parts, Rule, apply_rule, find_rule, linear_layer
from rsp_onnx.rulekit.shares import Terms, clamp, gather, output_of, part_of, products, share_by, sides_of, total

STABILISER = 1e-6  # what keeps the sum of signed branches away from zero, as in Bach et al. 2015
LinearRule: TypeAlias = Callable[[Context, LinearLayer, ir.Value], ir.Value]
Chooser: TypeAlias = Callable[[LinearLayer], LinearRule]
Branches: TypeAlias = Callable[[Emitter, ir.Value, Sequence[ir.Value]], list[ir.Value]]


@dataclass(frozen=True)
class Composite:
    """Which rule for which node.

    Attributes
    ----------
    choose : callable
        The rule of a linear layer with weights.
    mean : callable
        The rule of a linear layer without: means, sums and average pools.
    branches : callable
        (op, r, summands) → the share of each, where branches are added.
    """

    choose: Chooser
    mean: LinearRule
    branches: Branches

    def lookup(self, node: ir.Node) -> Rule | None:
        """Return the rule of a node; None where there is none.

        Where nothing above says otherwise the relevance table holds: what moves values moves relevance, activations
        and normalisations pass it, a maximum gives it to the winner, a gate gets none.
        """
        return self._propagate if find_rule(node) is not None else None

    def _propagate(self, ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
        layer = linear_layer(ctx, node)
        if layer is not None:
            return self._through_layer(ctx, node, r, layer)
        if facts_of(node).sums and len(set(ctx.graph.active_inputs(node))) > 1:
            return self._among_branches(ctx, node, r)
        return apply_rule(ctx, node, r)

    def _through_layer(self, ctx: Context, node: ir.Node, r: ir.Value, layer: LinearLayer) -> Parts:
        parts: list[ir.Value | None] = [None] * layer.inputs
        if layer.residual is not None:  # a fused addition takes its share first
            both = [output_of(ctx, layer), ctx.read(node.inputs[layer.residual])]
            r, parts[layer.residual] = self.branches(ctx.op, r, both)
        rule = self.mean if layer.weight is None else self.choose(layer)
        parts[layer.slot] = rule(ctx, layer, r)
        return parts

    def _among_branches(self, ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
        """Share r among the summands; a constant one takes nothing."""
        slots = [(i, v) for i, v in enumerate(node.inputs) if v is not None and ctx.graph.active(v)]
        parts: list[ir.Value | None] = [None] * len(node.inputs)
        shares = self.branches(ctx.op, r, [ctx.read(v) for _, v in slots])
        for (slot, value), share in zip(slots, shares, strict=True):
            parts[slot] = unbroadcast(ctx, share, node.outputs[0], value)
        return parts


def signed_shares(stabiliser: float) -> Branches:
    """Summands get r in proportion to their signed values (LRP-ε of an addition)."""

    def share(op: Emitter, r: ir.Value, values: Sequence[ir.Value]) -> list[ir.Value]:
        each = divide(op, r, add_all(op, values), stabiliser)
        return [op.Mul(x, each) for x in values]

    return share


def divide(op: Emitter, r: ir.Value, z: ir.Value, stabiliser: float) -> ir.Value:
    """r/(z + ε·sign z), where 0 counts as positive; with ε = 0 r/z, and 0 where z = 0."""
    if stabiliser == 0:
        return safe_divide(op, r, z)
    below = op.Cast(op.Less(z, 0.0), to=int(op.type))  # a Where takes as long as all of this
    return op.Div(r, op.Add(z, op.Sub(stabiliser, op.Mul(below, 2 * stabiliser))))


# ---- the rules ----


def epsilon(value: float) -> LinearRule:
    """LRP-ε, and LRP-0 for ε = 0: x ⊙ Wᵀ(r / (z + ε·sign z)), z = x·W + b (Bach et al. 2015, eqs. (56) and (58)).

    What bias and ε contribute to z takes its share of relevance and keeps it.
    """

    def share(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
        s = divide(ctx.op, r, output_of(ctx, layer), value)
        return ctx.op.Mul(ctx.read(layer.source), layer.adjoint(s, layer.weight))

    return share


def z_plus(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """z⁺: share by the positive products x⁺w⁺ + x⁻w⁻; the bias takes nothing (Montavon et al. 2017).

    Deep Taylor decomposition has x ≥ 0; the second product serves signed inputs.
    """
    (terms,) = products(ctx, layer, 1)
    return share_by(ctx, layer, r, terms, sign=1)


def alpha_beta(alpha: float, beta: float) -> LinearRule:
    """α times the share by positive products minus β times that by negative ones, α − β = 1 (Bach et al. 2015, (60)).

    A bias takes and keeps its share among the products of its sign; with α = 1, β = 0 that is all that differs from z⁺.
    """

    def share(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
        factors = {1: alpha, -1: -beta} if beta else {1: alpha}
        handed = []
        for (sign, by), terms in zip(factors.items(), products(ctx, layer, *factors), strict=True):
            z = total(ctx, layer, terms, part_of(layer.bias, sign), sign)
            handed.append((ctx.op.Div(ctx.op.Mul(r, by), z), terms))
        return gather(ctx, layer, handed)

    return share


def gamma(value: float) -> LinearRule:
    """LRP-γ: share by x·(w + γw⁺) (Montavon et al. 2019).

    In the form for signed x and z: products of the sign of z = x·W + b count γ times more (Andéol et al. 2021). A
    negative z shares among products of which the negative ones count more; a z of 0 hands nothing on.
    """

    def share(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
        op, z = ctx.op, output_of(ctx, layer)
        parts = []
        for sign in (1, -1):
            mask = op.Cast(op.Greater(z, 0.0) if sign > 0 else op.Less(z, 0.0), to=int(op.type))
            own = part_of(layer.bias, sign)
            bias = None if layer.bias is None or own is None else layer.bias + value * own
            parts.append(share_by(ctx, layer, op.Mul(r, mask), _favoured(ctx, layer, sign, value), bias))
        return op.Add(*parts)

    return share


def flat(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """Flat: every input of a unit gets the same share, whatever x and w (Lapuschkin et al. 2019). For the image."""
    weight = ctx.op.Expand(1.0, ctx.op.Shape(layer.weight))
    return share_by(ctx, layer, r, [(_ones(ctx, layer), weight)], sign=1, size=1.0)


def w_square(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """w²: share by squared weights (Montavon et al. 2017). For images of unbounded values."""
    squares = ctx.op.Mul(layer.weight, layer.weight)
    return share_by(ctx, layer, r, [(_ones(ctx, layer), squares)], sign=1, size=layer.size**2)


def z_box(ctx: Context, layer: LinearLayer, r: ir.Value) -> ir.Value:
    """z^B on the image, bounded by its own minimum and maximum (Montavon et al. 2017): as RSP has it."""
    (part,) = (p for p in apply_rule(ctx, layer.node, r) if p is not None)
    return part


# ---- what they are made of ----


def _favoured(ctx: Context, layer: LinearLayer, sign: int, by: float) -> Terms:
    """Return the pairs (x, w) with w + γ·(its part that makes products of one sign)."""
    op, w = ctx.op, layer.weight
    return [(x, op.Add(w, op.Mul(clamp(op, w, sign * side), by))) for x, side in sides_of(ctx, layer)]


def _ones(ctx: Context, layer: LinearLayer) -> ir.Value:
    """Return ones like the layer's input, 0 where a Pad before it added positions to the image."""
    source = layer.source if layer.image is None else layer.image
    ones = ctx.op.Expand(1.0, ctx.op.Shape(ctx.read(source)))
    pad = layer.source.producer()
    if source is layer.source or pad is None:
        return ones
    return ctx.op.Pad(ones, pad.inputs[1], None, *pad.inputs[3:4])
