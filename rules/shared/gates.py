"""Who is a gate, a statistic or an attention weight: told by where a tensor comes from, not by names."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.op_facts import Data, Role, Sign, facts_of
from rsp_onnx.rulekit.context import Context


def is_statistic(ctx: Context, node: ir.Node, value: ir.Value) -> bool:
    """Tell of a summand that is a statistic of another one, such as the mean a LayerNorm written out subtracts."""
    others = [v for v in ctx.graph.active_inputs(node) if v is not value]
    return any(ctx.graph.computed_from(value, v) and _reduced(ctx.dims(value), ctx.dims(v)) for v in others)


def is_deviation(ctx: Context, node: ir.Node, value: ir.Value) -> bool:
    """Tell of a divisor (or the factor of its reciprocal) that is the deviation or norm of the other operand."""
    if not ctx.graph.active(value) or not is_statistic(ctx, node, value):
        return False
    source: ir.Node | None = value.producer()
    while source is not None:
        facts = facts_of(source)
        if facts.deviation:
            return True
        active = ctx.graph.active_inputs(source)
        if not (_hands_on(source) or facts.role is Role.ARITHMETIC) or len(set(active)) != 1:
            return False
        source = active[0].producer()
    return False


def _reduced(mine: tuple[int | None, ...], theirs: tuple[int | None, ...]) -> bool:
    """Tell whether a shape has size 1 along an axis behind the batch where the other has not."""
    aligned = (1,) * (len(theirs) - len(mine)) + mine
    return any(a == 1 and b != 1 for a, b in zip(aligned[1:], theirs[1:], strict=False))


def is_gate(ctx: Context, value: ir.Value, other: ir.Value) -> bool:
    """Tell whether a factor is a gate: out of a sigmoid or softmax, or constant over space where the other is not."""
    if len(ctx.dims(value)) == len(ctx.dims(other)) and _reduced(ctx.dims(value)[1:], ctx.dims(other)[1:]):
        return True
    node = value.producer()
    while node is not None and (_hands_on(node) or node.op_type in ("Mul", "Div")):
        if not _hands_on(node) and len(ctx.graph.active_inputs(node)) != 1:
            return False
        if node.op_type == "Clip" and _bounded(ctx, node):
            return True
        node = ctx.graph.active_inputs(node)[0].producer()
    return node is not None and _is_probability(node)


def _bounded(ctx: Context, node: ir.Node) -> bool:
    """Tell whether a Clip is the middle of a hard sigmoid written out: Clip(x + 3, 0, 6)."""
    bounds = [ctx.constant(v) for v in node.inputs[1:3]]
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    shifted = source is not None and source.op_type == "Add" and len(ctx.graph.active_inputs(source)) == 1
    return shifted and len(bounds) == 2 and all(b is not None for b in bounds)


def is_attention(ctx: Context, value: ir.Value) -> bool:
    """Tell whether a factor of a product comes out of a softmax, through movement and scaling alone."""
    node: ir.Node | None = value.producer()
    while node is not None:
        if _is_probability(node):
            return True
        active = ctx.graph.active_inputs(node)
        scales = facts_of(node).affine or node.op_type == "Where"
        if not (_hands_on(node) or scales) or len(set(active)) != 1:
            return False
        node = active[0].producer()
    return False


def _hands_on(node: ir.Node) -> bool:
    """Tell of an op behind which the same numbers stand, some of them several times or cut off."""
    return facts_of(node).neutral or facts_of(node).data is Data.COPIES or node.op_type == "Clip"


def _is_probability(node: ir.Node) -> bool:
    return facts_of(node).sign is Sign.UNIT
