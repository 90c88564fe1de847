"""Along one axis: the short-time Fourier transform as the transform of its frames, a running product as products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.nodes import attribute, input_at
from rsp_onnx.rewrite.registry import Writing, expands

AXIS_IS_INPUT = 20  # the opset since which DFT reads its axis
_MOST_FACTORS = 1024


@expands("STFT", how="written out as the DFT of its frames, over a known length")
def expand_stft(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write DFT(window · frames): the signal [N, L] or [N, L, parts] becomes [N, frames, bins, 2].

    Raises
    ------
    CannotExpandError
        The signal's length, the step or the length of a frame is computed from the input.
    """
    op, signal, window = expansion.emitter(node.inputs[0]), node.inputs[0], input_at(node, 2)
    size = _size(signal, 1)
    step = _number(expansion, node, 1, "step")
    length = _size(window, 0) if input_at(node, 3) is None else _number(expansion, node, 3, "length of a frame")
    starts = np.arange(0, size - length + 1, step)
    frames = op.Gather(signal, starts[:, None] + np.arange(length), axis=1)
    frames = op.Unsqueeze(frames, [3]) if len(cast("ir.Value", signal).shape or ()) == 2 else frames
    frames = frames if window is None else op.Mul(frames, op.Unsqueeze(window, [1]))
    onesided = cast("int", attribute(node, "onesided", 1))
    if expansion.opset >= AXIS_IS_INPUT:
        return [op.DFT(frames, None, np.array(2), onesided=onesided)]
    return [op.DFT(frames, axis=2, onesided=onesided)]


@expands("CumProd", how="written out as products, over a known length")
def expand_cumprod(expansion: Writing, node: ir.Node) -> Sequence[ir.Value] | None:
    """Write y_i = x_i·y_{i−1} along the axis: of a product written so, 0 is a factor like any other.

    Raises
    ------
    CannotExpandError
        The axis or its size is not known before run time, or it has more than 1024 entries.
    """
    op, source = expansion.emitter(node.inputs[0]), cast("ir.Value", node.inputs[0])
    if source.dtype is not None and not source.dtype.is_floating_point():
        return None  # nothing flows through integers
    axis = _number(expansion, node, 1, "axis") % len(source.shape or (0,))
    size = _size(source, axis)
    if size > _MOST_FACTORS:
        raise CannotExpandError(f"it multiplies {size} factors; up to {_MOST_FACTORS} are supported")
    factors = list(op.emit_many("Split", source, [1] * size, outputs=size, axis=axis))
    backward, exclusive = bool(attribute(node, "reverse", 0)), bool(attribute(node, "exclusive", 0))
    factors = factors[::-1] if backward else factors
    if exclusive:
        factors = [op.Expand(1.0, op.Shape(factors[0])), *factors[:-1]]
    products = [factors[0]]
    for factor in factors[1:]:
        products.append(op.Mul(products[-1], factor))
    return [op.Concat(*(products[::-1] if backward else products), axis=axis)]


def _size(value: ir.Value | None, axis: int) -> int:
    size = None if value is None or value.shape is None else value.shape[axis]
    if value is None or not isinstance(size, int):
        name = "" if value is None else f" of {value.name!r}"
        raise CannotExpandError(f"the length{name} is not known; give it with input_shapes")
    return size


def _number(expansion: Writing, node: ir.Node, slot: int, what: str) -> int:
    known = expansion.constant(node.inputs[slot])
    if known is None:
        raise CannotExpandError(f"its {what} is computed from the input")
    return int(known.reshape(-1)[0])
