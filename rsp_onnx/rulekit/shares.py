"""How a linear layer shares relevance: by the products of pairs (x, w), which z sums up and the adjoint hands back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.signs import is_nonnegative

from .context import Context
from .linear import LinearLayer
from .numerics import add_all, bias_below, safe_divide

Terms: TypeAlias = Sequence[tuple[ir.Value, ir.Value]]


def share_by(
    ctx: Context,
    layer: LinearLayer,
    r: ir.Value,
    terms: Terms,
    bias: np.ndarray | None = None,
    *,
    sign: int = 0,
    size: float | None = None,
) -> ir.Value:
    """Share r by the products of all pairs (x, w): Σ x ⊙ wᵀ(r ⊘ z), z = Σ x·w + bias; 0 where z is 0.

    sign: 1 or −1 where neither a product nor the bias has the other sign, which saves a comparison; 0 where that is not
    known. size: a bound of |w|, the layer's own weight's where it is not given.
    """
    z = total(ctx, layer, terms, bias, sign, size)
    s = ctx.op.Div(r, z) if sign else safe_divide(ctx.op, r, z)
    return gather(ctx, layer, [(s, terms)])


def total(
    ctx: Context, layer: LinearLayer, terms: Terms, bias: np.ndarray | None, sign: int, size: float | None = None
) -> ir.Value:
    """Return z = Σ x·w + bias over all pairs; where all are of one sign, a bias of that sign keeps it from 0."""
    if sign:
        below = np.asarray(sign * bias_below(ctx.op, layer.size if size is None else size))
        bias = below if bias is None else bias + below
    (x, w), *rest = terms
    return add_all(ctx.op, [layer.apply(x, w, bias), *(layer.apply(x, w) for x, w in rest)])


def gather(ctx: Context, layer: LinearLayer, handed: Sequence[tuple[ir.Value, Terms]]) -> ir.Value:
    """Return Σ x ⊙ wᵀs over all s and their pairs (x, w); what is multiplied by one x is added up before."""
    back: dict[ir.Value, list[ir.Value]] = {}
    for s, terms in handed:
        for x, w in terms:
            back.setdefault(x, []).append(layer.adjoint(s, w))
    return add_all(ctx.op, [ctx.op.Mul(x, add_all(ctx.op, parts)) for x, parts in back.items()])


def output_of(ctx: Context, layer: LinearLayer) -> ir.Value:
    """Return y = x·W + b: the model's own tensor where it has it, computed again where it has not."""
    if layer.output is not None:
        return ctx.read(layer.output)
    return layer.apply(ctx.read(layer.source), layer.weight, layer.bias)


def products(ctx: Context, layer: LinearLayer, *signs: int) -> list[Terms]:
    """Return per sign the pairs whose products have it: x⁺ with w of this sign, x⁻ with w of the other."""
    sides = sides_of(ctx, layer)
    return [[(x, clamp(ctx.op, layer.weight, sign * side)) for x, side in sides] for sign in signs]


def sides_of(ctx: Context, layer: LinearLayer) -> list[tuple[ir.Value, int]]:
    """Return x⁺ and x⁻ with their signs; x alone where it cannot be negative."""
    x = ctx.read(layer.source)
    if is_nonnegative(ctx.graph, layer.source):
        return [(x, 1)]
    return [(clamp(ctx.op, x, 1), 1), (clamp(ctx.op, x, -1), -1)]


def positive_of(ctx: Context, layer: LinearLayer) -> ir.Value:
    """Return x⁺, which is x itself where it cannot be negative."""
    return sides_of(ctx, layer)[0][0]


def clamp(op: Emitter, x: ir.Value | None, sign: int) -> ir.Value:
    """max(x, 0) for sign 1, min(x, 0) for −1."""
    return op.Relu(x) if sign > 0 else op.Min(x, 0.0)


def part_of(bias: np.ndarray | None, sign: int) -> np.ndarray | None:
    """Return the part of a bias that has this sign."""
    if bias is None:
        return None
    return np.asarray(np.maximum(bias, 0) if sign > 0 else np.minimum(bias, 0))
