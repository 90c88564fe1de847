"""Einsum: its gradient is an Einsum with the subscripts swapped."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Sequence
from typing import cast

import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide
from rsp_onnx.rulekit.registry import Parts, rule, vjp

from ..shared.purge import nonnegative
from ..shared.reasons import UNSEEN


def _products(node: ir.Node, sizes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
    """One for every value that the subscripts take together."""
    known: dict[str, int] = {}
    for word, size in zip(
        str(attribute(node, "equation")).replace(" ", "").split("->")[0].split(","), sizes, strict=True
    ):
        front, _, behind = word.partition("...")
        hidden = math.prod(size[len(front) : len(size) - len(behind)])
        named = {**dict(zip(front, size, strict=False)), **dict(zip(behind[::-1], size[::-1], strict=False))}
        known |= {**named, "...": max(hidden, known.get("...", 1))}
    return math.prod(known.values())


op_facts("Einsum", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, products=_products, loses=UNSEEN)


@vjp("Einsum")
def swap_subscripts(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Multiply g with the other operands, the result's subscripts in the operand's place."""
    factors = [ctx.read(v) for v in node.inputs]
    return [_back(ctx, node, g, factors, i) if ctx.graph.active(v) else None for i, v in enumerate(node.inputs)]


@rule("Einsum")
def share_product(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by the products of x and W⁺; of two activations the right one takes it, the left is its weights (RSP §3).

    With a constant operand W the z⁺ rule, x = [X]₊; of two activations, as in attention, the z-rule with the left
    one's signs. One operand alone shares by value.
    """
    op = ctx.op
    active = [i for i, v in enumerate(node.inputs) if ctx.graph.active(v)]
    if len(node.inputs) > 2:
        raise BadModel(
            f"The Einsum node {node.name!r} multiplies {len(node.inputs)} operands, which has no relevance rule; "
            "export it as products of two."
        )
    slot = active[-1]
    source = cast("ir.Value", node.inputs[slot])
    constant = len(node.inputs) == 2 and len(active) == 1
    x = nonnegative(ctx, source) if constant else op.Add(ctx.read(source), EPSILON)
    factors = [x if i == slot else ctx.read(v) for i, v in enumerate(node.inputs)]
    if constant:
        factors[1 - slot] = op.Relu(factors[1 - slot])
    z = op.Einsum(*factors, equation=_equation(ctx, node))
    back = op.Mul(_back(ctx, node, safe_divide(op, r, z), factors, slot), x)
    return [back if i == slot else None for i in range(len(node.inputs))]


def _back(ctx: Context, node: ir.Node, g: ir.Value, factors: list[ir.Value], slot: int) -> ir.Value:
    """Return the gradient at one operand: [K, *its shape]; entries that were only summed over share g's value."""
    operands, result = _subscripts(ctx, node)
    mine, others = operands[slot], [s for i, s in enumerate(operands) if i != slot]
    front = next(c for c in string.ascii_letters if c not in "".join([*operands, result]))
    found = [c for c in mine if c in result + "".join(others)]
    equation = ",".join([front + result, *others]) + "->" + front + "".join(found)
    back = ctx.op.Einsum(g, *(f for i, f in enumerate(factors) if i != slot), equation=equation)
    summed = [1 + i for i, c in enumerate(mine) if c not in found]
    if not summed:
        return back
    shape = ctx.op.Concat(ctx.front, ctx.op.Shape(node.inputs[slot]), axis=0)
    return ctx.op.Expand(ctx.op.Unsqueeze(back, summed), shape)


def _equation(ctx: Context, node: ir.Node) -> str:
    operands, result = _subscripts(ctx, node)
    return ",".join(operands) + "->" + result


def _subscripts(ctx: Context, node: ir.Node) -> tuple[list[str], str]:
    """Return the operands' and the result's subscripts, the ellipsis written out; BadModel where they repeat."""
    left, arrow, right = str(ctx.attr(node, "equation")).replace(" ", "").partition("->")
    ranks = [len(ctx.dims(v)) for v in node.inputs]
    free = [c for c in string.ascii_letters if c not in left]
    hidden = [n - len(s) + 3 if "..." in s else 0 for n, s in zip(ranks, left.split(","), strict=True)]
    batch = "".join(free[: max(hidden)])
    operands = [s.replace("...", batch[len(batch) - n :]) for s, n in zip(left.split(","), hidden, strict=True)]
    counts = Counter(left.replace(",", "").replace(".", ""))
    result = right.replace("...", batch) if arrow else batch + "".join(sorted(c for c in counts if counts[c] == 1))
    _check(ctx, node, [*operands, result])
    return operands, result


def _check(ctx: Context, node: ir.Node, subscripts: list[str]) -> None:
    """Refuse diagonals and broadcasting, whose gradients are no plain swap."""
    shapes = [ctx.dims(v) for v in (*node.inputs, node.outputs[0])]
    if any(len(letters) != len(shape) for letters, shape in zip(subscripts, shapes, strict=True)):
        raise BadModel(f"The shapes around the Einsum node {node.name!r} are not known; fix the input size.")
    sizes: dict[str, set[int | None]] = {}
    for letters, shape in zip(subscripts, shapes, strict=True):
        for letter, size in zip(letters, shape, strict=True):
            sizes.setdefault(letter, set()).add(size)
    if any(len(set(s)) < len(s) for s in subscripts) or any(len(found) > 1 for found in sizes.values()):
        raise BadModel(
            f"The Einsum node {node.name!r} takes a diagonal or broadcasts ({ctx.attr(node, 'equation')}); "
            "this is not supported: choose a later section behind it with --section."
        )
