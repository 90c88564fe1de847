"""The Attention op of opset 23: relevance goes to the values, none to queries and keys (RSP §3, beyond the paper)."""

from __future__ import annotations

import math
from typing import cast

import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide
from rsp_onnx.rulekit.registry import Parts, rule, statistics, vjp

from ..shared.purge import nonnegative
from ..shared.reasons import CANCELLED

op_facts("Attention", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, layout=Layout.CHANNELS_LAST,
         products=lambda node, sizes, out: math.prod(sizes[0]) * sizes[1][-2] + math.prod(out) * sizes[2][-2],
         loses=CANCELLED)  # fmt: skip

_AFTER_SOFTMAX = 3  # qk_matmul_output_mode

statistics("Attention", 1, 2, reason="the keys and values kept for a later call")
statistics("Attention", 3, reason="the attention weights are shown, not used")


@rule("Attention")
def give_to_values(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Give relevance to the values by the z-rule with the attention weights as the linear map (RSP §3)."""
    op = ctx.op
    weights = _weights(ctx, node)
    values = _heads(ctx, node, nonnegative(ctx, cast("ir.Value", node.inputs[2])), 2, 0)
    x = op.Add(_for_every_query(ctx, node, values, 2), EPSILON)
    s = safe_divide(op, _heads(ctx, node, r, None, 1), op.MatMul(weights, x), nonnegative=False)
    back = op.Mul(op.MatMul(op.Transpose(weights, perm=[0, 1, 3, 2]), s), x)
    return [None, None, _unheads(ctx, node, back, 2), *[None] * (len(node.inputs) - 3)]


@vjp("Attention")
def attend_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Go back through softmax(c(s·QKᵀ) + mask)·V to Q, K and V, c the softcap; shared keys collect from all queries."""
    op = ctx.op
    weights = _weights(ctx, node)
    q, k, v = (_for_every_query(ctx, node, _heads(ctx, node, ctx.read(node.inputs[i]), i, 0), i) for i in range(3))
    g = _heads(ctx, node, g, None, 1)
    to_weights = op.MatMul(g, op.Transpose(v, perm=[0, 1, 3, 2]))
    expected = op.ReduceSum(op.Mul(to_weights, weights), [-1], keepdims=1)
    scores = op.Mul(op.Mul(weights, op.Sub(to_weights, expected)), _scale(ctx, node))
    if cap := float(cast("float", ctx.attr(node, "softcap", 0.0))):
        t = op.Tanh(op.Mul(op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2])), _scale(ctx, node) / cap))
        scores = op.Mul(scores, op.Sub(1.0, op.Mul(t, t)))
    turned = [op.Transpose(scores, perm=[0, 1, 2, 4, 3]), op.Transpose(weights, perm=[0, 1, 3, 2])]
    parts = [op.MatMul(scores, k), op.MatMul(turned[0], q), op.MatMul(turned[1], g)]
    back = [_unheads(ctx, node, part, i) for i, part in enumerate(parts)]
    active = [b if ctx.graph.active(node.inputs[i]) else None for i, b in enumerate(back)]
    return [*active, *[None] * (len(node.inputs) - 3)]


def _weights(ctx: Context, node: ir.Node) -> ir.Value:
    """Emit the node again for its weights after the softmax: [N, heads, queries, keys]."""
    if any(v is not None for v in node.inputs[4:]):
        raise BadModel(f"The Attention node {node.name!r} uses a key-value cache; this is not supported.")
    kept = attributes(node)
    kept["qk_matmul_output_mode"] = _AFTER_SOFTMAX
    inputs = [None if v is None else ctx.read(v) if v.dtype is not None and v.dtype.is_floating_point() else v
              for v in node.inputs]  # fmt: skip
    return ctx.op.emit_many("Attention", *inputs, outputs=4, **kept)[3]


def _count(ctx: Context, node: ir.Node, slot: int) -> int:
    """Return the number of heads of queries (slot 0), or of keys and values (slots 1 and 2)."""
    if len(ctx.dims(node.inputs[slot])) == 4:
        return ctx.sizes(node.inputs[slot])[0]
    return node.attributes.get_int("q_num_heads" if slot == 0 else "kv_num_heads", 0)


def _heads(ctx: Context, node: ir.Node, value: ir.Value, slot: int | None, front: int) -> ir.Value:
    """Bring a tensor to [(K,) N, heads, tokens, size]; slot None is the node's output."""
    source = node.outputs[0] if slot is None else node.inputs[slot]
    if len(ctx.dims(source)) == 4:
        return value
    tokens, width = ctx.sizes(source)
    heads = _count(ctx, node, slot or 0)
    shape = [tokens, heads, width // heads]
    split = ctx.part(value, *shape) if front else ctx.op.Reshape(value, [-1, *shape])
    return ctx.op.Transpose(split, perm=[0, 1, 3, 2, 4] if front else [0, 2, 1, 3])


def _for_every_query(ctx: Context, node: ir.Node, value: ir.Value, slot: int) -> ir.Value:
    """Copy keys or values [N, heads, tokens, size] for every head of queries that shares them."""
    heads = _count(ctx, node, slot)
    copies = _count(ctx, node, 0) // heads
    if copies == 1:
        return value
    tokens, size = _tokens(ctx, node, slot)
    wide = ctx.op.Expand(ctx.op.Reshape(value, [-1, heads, 1, tokens, size]), [1, 1, copies, 1, 1])
    return ctx.op.Reshape(wide, [-1, heads * copies, tokens, size])


def _tokens(ctx: Context, node: ir.Node, slot: int) -> tuple[int, int]:
    """Return how many tokens there are, and their size in one head."""
    *_, tokens, width = ctx.sizes(node.inputs[slot])
    return tokens, width if len(ctx.dims(node.inputs[slot])) == 4 else width // _count(ctx, node, slot)


def _unheads(ctx: Context, node: ir.Node, value: ir.Value, slot: int) -> ir.Value:
    """Bring [K, N, heads of queries, tokens, size] back to an input's shape; copies of keys and values add up."""
    source, heads = node.inputs[slot], _count(ctx, node, slot)
    copies = _count(ctx, node, 0) // heads
    if copies > 1:
        value = ctx.op.ReduceSum(ctx.part(value, heads, copies, *_tokens(ctx, node, slot)), [3], keepdims=0)
    if len(ctx.dims(source)) == 4:
        return value
    return ctx.part(ctx.op.Transpose(value, perm=[0, 1, 3, 2, 4]), *ctx.sizes(source))


def _scale(ctx: Context, node: ir.Node) -> float:
    width = ctx.sizes(node.inputs[0])[-1]
    if len(ctx.dims(node.inputs[0])) == 3:
        width //= _count(ctx, node, 0)
    given = node.attributes.get("scale")
    return 1.0 / math.sqrt(width) if given is None else float(given.as_float())
