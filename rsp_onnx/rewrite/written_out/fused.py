"""More ops of ONNX Runtime's own, written out: rotations, root mean squares, four-bit and quantised transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.nodes import attribute, attributes, input_at
from rsp_onnx.graph.op_facts import MICROSOFT
from rsp_onnx.rewrite.contrib import attend
from rsp_onnx.rewrite.registry import Writing, expands

_HOW = "written out in the standard ops it was fused from"
_BYTE = 8


@expands("SimplifiedLayerNormalization", how=_HOW)  # ONNX Runtime's own, though it stands in ONNX's domain
def expand_root_mean_square(expansion: Writing, node: ir.Node) -> Sequence[ir.Value | None]:
    """Write x/√(mean x² + ε)·scale over the last axes; the second output is the reciprocal of the root."""
    op, x = expansion.emitter(node.inputs[0]), node.inputs[0]
    rank = len((x.shape if x is not None else None) or ())
    first = cast("int", attribute(node, "axis", -1))
    axes = list(range(first % rank if rank else first, rank if rank else 0))
    mean = op.ReduceMean(op.Mul(x, x), axes, keepdims=1)
    root = op.Sqrt(op.Add(mean, float(cast("float", attribute(node, "epsilon", 1e-5)))))
    scaled = op.Mul(op.Div(x, root), node.inputs[1])
    return [scaled, op.Reciprocal(root)][: len(node.outputs)]


@expands(f"{MICROSOFT}Trilu", f"{MICROSOFT}Pad", f"{MICROSOFT}GatherND", how="written as the standard op it is")
def expand_twin(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write the standard op of the same inputs and attributes."""
    op = expansion.emitter(node.inputs[0])
    return [op.emit(node.op_type, *node.inputs, **attributes(node))]


@expands(f"{MICROSOFT}ExpandDims", how="written as Unsqueeze")
def expand_one_axis(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write Unsqueeze, whose axes are int64.

    Raises
    ------
    CannotExpandError
        The axis is computed from the input.
    """
    axis = expansion.constant(node.inputs[1])
    if axis is None:
        raise CannotExpandError("its axis is computed from the input")
    return [expansion.emitter(node.inputs[0]).Unsqueeze(node.inputs[0], [int(axis.reshape(-1)[0])])]


@expands(f"{MICROSOFT}GridSample", how="written as the standard op it is")
def expand_grid_sample(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write GridSample with the name that the model's opset has for the mode."""
    mode, own = attribute(node, "mode", "bilinear"), attributes(node, "mode", "padding_mode")
    new = {"bilinear": "linear", "bicubic": "cubic"}
    mode = new.get(str(mode), mode) if expansion.opset >= 20 else mode
    padding = attribute(node, "padding_mode", "zeros")
    return [expansion.emitter(node.inputs[0]).GridSample(*node.inputs, mode=mode, padding_mode=padding, **own)]


@expands(f"{MICROSOFT}CDist", how=_HOW)
def expand_distances(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write ‖a_i − b_j‖, or its square, of the rows of two matrices."""
    op, (a, b) = expansion.emitter(node.inputs[0]), node.inputs[:2]
    apart = op.Sub(op.Unsqueeze(a, [1]), op.Unsqueeze(b, [0]))
    square = op.ReduceSum(op.Mul(apart, apart), [2], keepdims=0)
    return [square if attribute(node, "metric", "sqeuclidean") == "sqeuclidean" else op.Sqrt(square)]


@expands(f"{MICROSOFT}RotaryEmbedding", how=_HOW)
def expand_rotary(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Turn pairs of entries by the angles of their places: x [N, T, D] or [N, heads, T, D].

    Raises
    ------
    CannotExpandError
        The shapes of x or of the table of cosines are not known.
    """
    op, (x, at, cosines, sines) = expansion.emitter(node.inputs[0]), node.inputs[:4]
    sizes, table = _known(x), _known(cosines)
    heads, width = cast("int", attribute(node, "num_heads", 0)), cast("int", attribute(node, "rotary_embedding_dim", 0))
    turned = width or 2 * table[1]
    size = sizes[-1] if len(sizes) == 4 else sizes[-1] // heads if heads else turned
    four = op.Transpose(x, perm=[0, 2, 1, 3]) if len(sizes) == 4 else op.Reshape(x, [0, 0, -1, size])
    places = op.Add(at, np.arange(sizes[-2])) if len(_known(at)) == 1 else at
    cosine, sine = (op.Unsqueeze(op.Gather(v, places, axis=0), [-2]) for v in (cosines, sines))
    rest = [size - turned] if size > turned else []
    front, *behind = op.emit_many("Split", four, [turned, *rest], outputs=1 + len(rest), axis=-1)
    pairs = bool(attribute(node, "interleaved", 0))
    halves = op.Reshape(front, [0, 0, 0, -1, 2] if pairs else [0, 0, 0, 2, -1])
    one, two = (op.Gather(halves, np.array(i), axis=-1 if pairs else -2) for i in (0, 1))
    ends = [op.Sub(op.Mul(one, cosine), op.Mul(two, sine)), op.Add(op.Mul(two, cosine), op.Mul(one, sine))]
    joined = op.Concat(*(op.Unsqueeze(v, [-1 if pairs else -2]) for v in ends), axis=-1 if pairs else -2)
    result = op.Reshape(joined, [0, 0, 0, turned])
    result = op.Concat(result, *behind, axis=-1) if rest else result
    return [op.Transpose(result, perm=[0, 2, 1, 3]) if len(sizes) == 4 else op.Reshape(result, [0, 0, -1])]


@expands(f"{MICROSOFT}MatMulNBits", how="written as a MatMul with the weights that its few bits stand for")
def expand_few_bits(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write x·W + bias with W = (q − zero)·scale per block of a row; q has 2, 4 or 8 bits.

    Raises
    ------
    CannotExpandError
        The weights are computed at run time, or grouped by an index.
    """
    op, x = expansion.emitter(node.inputs[0]), node.inputs[0]
    given = [None if v is None else expansion.constant(v) for v in node.inputs[1:4]]
    if given[0] is None or given[1] is None or input_at(node, 4) is not None:
        raise CannotExpandError("its weights are computed at run time, or in groups by an index")
    rows, columns, bits, block = (cast("int", attribute(node, n, 4)) for n in ("N", "K", "bits", "block_size"))
    blocks = -(-columns // block)
    q = _unpacked(given[0].reshape(rows, blocks, -1), bits)[:, :, :block]
    zero = np.float64(2 ** (bits - 1))
    if len(given) > 2 and given[2] is not None:
        packed = given[2].dtype == np.uint8
        zero = (_unpacked(given[2].reshape(rows, -1), bits) if packed else given[2].reshape(rows, -1))[:, :blocks, None]
    weight = ((q - zero) * given[1].astype(np.float64).reshape(rows, blocks, 1)).reshape(rows, -1)[:, :columns]
    kind = (x.dtype if x is not None and x.dtype is not None else ir.DataType.FLOAT).numpy()
    product = op.MatMul(
        x, expansion.initializer(np.ascontiguousarray(weight.T).astype(kind), str(node.outputs[0].name))
    )
    bias = input_at(node, 5)
    return [product if bias is None else op.Add(product, bias)]


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """Return the numbers of a few bits that bytes hold, the lowest bits first, along the last axis."""
    count = _BYTE // bits
    parts = [(packed >> (bits * i)) & (2**bits - 1) for i in range(count)]
    return np.stack(parts, axis=-1).reshape(*packed.shape[:-1], -1).astype(np.float64)


@expands(f"{MICROSOFT}QAttention", how=_HOW)
def expand_quantised_attention(expansion: Writing, node: ir.Node) -> Sequence[ir.Value | None]:
    """Write the product of the dequantised input and weights, and the attention behind it.

    Raises
    ------
    CannotExpandError
        The weights are computed at run time, or it keeps keys and values of earlier runs.
    """
    op = expansion.emitter(node.inputs[2])
    q, scale, zero = (expansion.constant(input_at(node, i)) for i in (1, 4, 7))
    if q is None or scale is None or input_at(node, 8) is not None:
        raise CannotExpandError("its weights are not constants, or it keeps keys and values of earlier runs")
    weight = (q.astype(np.float64) - (0 if zero is None else zero)) * scale
    values = op.DequantizeLinear(node.inputs[0], node.inputs[3], input_at(node, 6))
    kept = expansion.initializer(weight.astype(np.float32), f"{node.outputs[0].name}/weight")
    joint = op.Add(op.MatMul(values, kept), node.inputs[2])
    thirds = [weight.shape[1] // 3] * 3
    three = op.emit_many("Split", joint, thirds, outputs=3, axis=-1)
    causal = bool(attribute(node, "unidirectional", 0))
    masks = (input_at(node, 5), None)
    return [attend(op, node, three, thirds, masks, causal), *[None] * (len(node.outputs) - 1)]


@expands(f"{MICROSOFT}QLinearWhere", how="written out on the numbers that the integers stand for")
def expand_quantised_choice(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write the choice between two dequantised tensors, quantised again."""
    op, given = expansion.emitter(None), node.inputs
    ends = [op.DequantizeLinear(*given[i : i + 3]) for i in (1, 4)]
    return [op.QuantizeLinear(op.Where(given[0], *ends), *given[7:9])]


def _known(value: ir.Value | None) -> list[int]:
    """Return a shape, the batch as −1."""
    shape = None if value is None else value.shape
    if shape is None or not all(isinstance(d, int) for d in shape[1:]):
        raise CannotExpandError("the shapes of what it reads are not known; give them with input_shapes")
    return [d if isinstance(d, int) else -1 for d in shape]
