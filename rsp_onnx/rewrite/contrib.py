"""Fused transformer ops of the domain com.microsoft, written out as the standard ops they were fused from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute, input_at
from rsp_onnx.graph.op_facts import MICROSOFT

from .registry import Writing, expands

_INT64 = int(ir.DataType.INT64)


@expands(
    f"{MICROSOFT}SkipLayerNormalization", f"{MICROSOFT}SkipSimplifiedLayerNormalization",
    f"{MICROSOFT}EmbedLayerNormalization", f"{MICROSOFT}Attention", f"{MICROSOFT}MultiHeadAttention",
    how="written out in the standard ops it was fused from",
)  # fmt: skip
def expand_fused(expansion: Writing, node: ir.Node) -> Sequence[ir.Value | None]:
    """Write a fused node out in standard ops; one tensor per output, None for outputs nobody reads.

    Raises
    ------
    CannotExpandError
        It keeps keys and values of earlier runs, packs its inputs in a way that is not supported, or trains.
    """
    written = _written(expansion.emitter(node.inputs[0]), node)
    if any(v is None and (old.uses() or old.is_graph_output()) for v, old in zip(written, node.outputs, strict=True)):
        raise CannotExpandError("an output is read that only training needs")
    return written


def _written(op: Emitter, node: ir.Node) -> Sequence[ir.Value | None]:
    match node.op_type:
        case "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization":
            return _skip(op, node)
        case "EmbedLayerNormalization":
            return _embed(op, node)
        case "Attention":
            return [_self_attention(op, node), *[None] * (len(node.outputs) - 1)]
    return [_attention_of_three(op, node), *[None] * (len(node.outputs) - 1)]


def _skip(op: Emitter, node: ir.Node) -> list[ir.Value | None]:
    """Write input + skip + bias, normalised; the sum itself is the fourth output."""
    simple = node.op_type != "SkipLayerNormalization"
    bias = input_at(node, 3 if simple else 4)
    total = op.Add(node.inputs[0], node.inputs[1])
    total = total if bias is None else op.Add(total, bias)
    epsilon = float(cast("float", attribute(node, "epsilon", 1e-12)))
    if simple:
        mean = op.ReduceMean(op.Mul(total, total), [-1], keepdims=1)
        y = op.Mul(op.Div(total, op.Sqrt(op.Add(mean, epsilon))), node.inputs[2])
    else:
        y = op.LayerNormalization(total, node.inputs[2], input_at(node, 3), axis=-1, epsilon=epsilon)
    return [y, None, None, total][: len(node.outputs)]


def _embed(op: Emitter, node: ir.Node) -> list[ir.Value | None]:
    """Write the embeddings of words, places and segments, added up and normalised; and the lengths of the texts."""
    ids, segments, words, places, kinds = node.inputs[:5]
    assert ids is not None
    at = input_at(node, 8)
    total = op.Gather(words, ids)
    if at is None:
        length = op.Shape(ids, start=1, end=2)
        total = op.Add(total, op.Slice(places, [0], length, [0]))
    else:
        total = op.Add(total, op.Gather(places, at))
    if segments is not None and kinds is not None:
        total = op.Add(total, op.Gather(kinds, segments))
    epsilon = float(cast("float", attribute(node, "epsilon", 1e-12)))
    y = op.LayerNormalization(total, input_at(node, 5), input_at(node, 6), axis=-1, epsilon=epsilon)
    return [y, _lengths(op, node), total][: len(node.outputs)]


def _lengths(op: Emitter, node: ir.Node) -> ir.Value | None:
    mask = input_at(node, 7)
    if len(node.outputs) < 2 or not node.outputs[1].uses():
        return None
    if mask is None:
        raise CannotExpandError("it counts the tokens of texts without a mask")
    return op.ReduceSum(mask, [1], keepdims=0)


def _self_attention(op: Emitter, node: ir.Node) -> ir.Value:
    if any(input_at(node, i) is not None for i in (4, 6)):
        raise CannotExpandError("it keeps keys and values of earlier runs")
    weight = node.inputs[1]
    assert weight is not None
    sizes = cast("list[int] | None", attribute(node, "qkv_hidden_sizes"))
    width = None if weight.shape is None else weight.shape[-1]
    if not sizes and not isinstance(width, int):
        raise CannotExpandError("the size of its weights is not known")
    thirds = sizes or [cast("int", width) // 3] * 3
    joint = op.MatMul(node.inputs[0], weight)
    joint = joint if input_at(node, 2) is None else op.Add(joint, node.inputs[2])
    three = op.emit_many("Split", joint, list(thirds), outputs=3, axis=-1)
    causal = bool(attribute(node, "unidirectional", 0))
    return attend(op, node, three, thirds, (input_at(node, 3), input_at(node, 5)), causal)


def _attention_of_three(op: Emitter, node: ir.Node) -> ir.Value:
    three, bias = list(node.inputs[:3]), input_at(node, 3)
    if any(v is None or len(v.shape or ()) != 3 for v in three) or len(three) < 3:
        raise CannotExpandError("its queries, keys and values are packed; only three tensors [N, T, D] are supported")
    if any(input_at(node, i) is not None for i in (6, 7)):
        raise CannotExpandError("it keeps keys and values of earlier runs")
    sizes = [(v.shape or (0,))[-1] for v in three if v is not None]
    if not all(isinstance(size, int) for size in sizes):
        raise CannotExpandError("the sizes of its queries, keys and values are not known")
    thirds = [cast("int", size) for size in sizes]
    if bias is not None:
        parts = op.emit_many("Split", bias, thirds, outputs=3, axis=0)
        three = [op.Add(v, b) for v, b in zip(three, parts, strict=True)]
    return attend(op, node, three, thirds, (input_at(node, 4), input_at(node, 5)), False)


def attend(
    op: Emitter, node: ir.Node, three: Sequence[ir.Value | None], sizes: Sequence[int],
    masks: tuple[ir.Value | None, ir.Value | None], causal: bool,
) -> ir.Value:  # fmt: skip
    """softmax(scale·QKᵀ + masks)·V per head, the heads joined again. masks: of keys, and added to the scores."""
    heads = cast("int", attribute(node, "num_heads"))
    q, k, v = (
        op.Transpose(op.Reshape(x, [0, 0, heads, size // heads]), perm=[0, 2, 1, 3])
        for x, size in zip(three, sizes, strict=True)
    )
    scale = float(cast("float", attribute(node, "scale", 0.0))) or (sizes[0] // heads) ** -0.5
    scores = op.Mul(op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2])), scale)
    low = float(cast("float", attribute(node, "mask_filter_value", -10000.0)))
    keys, added = masks
    if keys is not None:
        scores = op.Add(scores, op.Mul(op.Sub(1.0, _as_floats(op, keys, k)), low))
    if added is not None:
        scores = op.Add(scores, added)
    if causal:
        seen = op.Trilu(op.Add(op.Mul(scores, 0.0), 1.0), upper=0)
        scores = op.Add(op.Mul(scores, seen), op.Mul(op.Sub(1.0, seen), low))
    joined = op.Transpose(op.MatMul(op.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
    return op.Reshape(joined, [0, 0, sizes[2]])


def _as_floats(op: Emitter, mask: ir.Value, keys: ir.Value) -> ir.Value:
    """Return a mask of keys as 1 and 0, [N, 1, 1, T]; given as such, or as the length of each text."""
    if len(mask.shape or ()) == 2:
        return op.Unsqueeze(op.Cast(mask, to=int(op.type)), [1, 2])
    if len(mask.shape or ()) != 1:
        raise CannotExpandError("its mask is neither one per key nor the length of each text")
    count = op.Squeeze(op.Shape(keys, start=2, end=3), [0])
    places = op.Range(np.array(0), count, np.array(1))
    inside = op.Less(op.Unsqueeze(places, [0]), op.Unsqueeze(op.Cast(mask, to=_INT64), [1]))
    return op.Unsqueeze(op.Cast(inside, to=int(op.type)), [1, 2])
