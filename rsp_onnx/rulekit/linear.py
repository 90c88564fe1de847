"""What a linear op is: its geometry, its adjoint and its emission with other weights, once per op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.nodes import attribute

from .context import Context

Product: TypeAlias = "Callable[[ir.Value, ir.Value | None], ir.Value]"


class Affine(Protocol):
    """x [N, *in], W → x·W + b [N, *out]; b broadcasts against the output, None for no bias."""

    def __call__(self, x: ir.Value, w: ir.Value | None, /, bias: np.ndarray | None = None) -> ir.Value:
        """Emit it; a bias per channel is the op's own, so that it takes no pass of its own."""


@dataclass(frozen=True)
class LinearLayer:
    """One linear op on one activation, y = x·W + b, with the affine map per channel that follows folded into W and b.

    Attributes
    ----------
    node : onnx_ir.Node
        The op, or the node that stands in for it.
    slot, inputs : int
        Which input of the walked node is the activation, and how many inputs that node has.
    source : onnx_ir.Value
        The activation [N, *in] as the model has it.
    weight : onnx_ir.Value or None
        In the working dtype, as ``apply`` and ``adjoint`` read it; None for a sum without weights, such as a mean.
    bias : ndarray or None
        Broadcasts against the output [N, *out].
    apply, adjoint : callable
        x [N, *in], W, b → x·W + b [N, *out], 0 for the bias where none is given; s [K, N, *out], W → s·Wᵀ [K, N, *in].
    size : float
        A bound of |W|; 1 where there are no weights.
    output : onnx_ir.Value or None
        The tensor of the model that is y in the working dtype, where it has one.
    dense : bool
        It is a dense layer, not a convolution.
    image : onnx_ir.Value or None
        The image the layer reads: ``source``, or what a Pad of zeros before it pads; None for hidden layers.
    residual : int or None
        Which input is added to y by the op itself.
    """

    node: ir.Node
    slot: int
    inputs: int
    source: ir.Value
    weight: ir.Value | None
    bias: np.ndarray | None
    apply: Affine
    adjoint: Product
    size: float = 1.0
    output: ir.Value | None = None
    dense: bool = False
    image: ir.Value | None = None
    residual: int | None = None


@dataclass(frozen=True)
class Dense:
    """A dense layer y = x·W (+ b): W [features, outputs], x [..., features].

    Attributes
    ----------
    slot : int
        Which input of the node is the activation.
    weight : onnx_ir.Value or ndarray
        As the product reads it; ``transposed`` tells that it is stored as [outputs, features].
    scale : float
        Gemm's alpha.
    flat : bool
        It reads one row per sample; the rows of a single sample are positions.
    """

    slot: int
    weight: ir.Value
    transposed: bool
    scale: float
    flat: bool


def dense(ctx: Context, node: ir.Node) -> Dense | None:
    """Return what a Gemm or MatMul node with one constant factor is; None for two activations."""
    active = [i for i, v in enumerate(node.inputs[:2]) if ctx.graph.active(v)]
    if len(active) != 1:
        return None
    slot = active[0]
    weight = node.inputs[1 - slot]
    assert weight is not None
    sizes = ctx.dims(node.inputs[slot])
    flat = len(sizes) == 2 and len(ctx.dims(weight)) == 2 and not (ctx.single and sizes[0] != 1)
    transposed = bool(attribute(node, "transB" if slot == 0 else "transA", 0)) == (slot == 0)
    return Dense(slot, weight, transposed, float(cast("float", attribute(node, "alpha", 1.0))), flat)
