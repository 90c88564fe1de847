"""The form of depthwise convolutions in ONNX Runtime's own blocked layout, where relevance is a filter as it lies.

G = corr(x, R) is a depthwise convolution of x whose filter is R, and Z one whose filter is G. The CPU kernels of ONNX
Runtime keep activations as [C/B, H, W, B], and so depthwise filters: nothing is unfolded, nothing moved between the
three. These ops belong to one build of ONNX Runtime on one machine. So the form is taken only where the graph stays in
this process, after a session has shown on numbers that it is right here; without this module all else stays as it is.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Window
from rsp_onnx.rulekit.forms import try_once
from rsp_onnx.rulekit.numerics import bias_for, signs

from .form import Form, Layer

_DOMAIN = "com.microsoft.nchwc"
_SIZES = (16, 8)  # channels in a block, by CPU


def _applies(layer: Layer) -> bool:
    w = layer.c.window
    if not (layer.alone and layer.in_process and layer.depthwise) or w.axes != 2 or set(w.dilations) != {1}:
        return False
    usual = min(w.before) >= 0 and max(w.strides) <= 2 and min(min(ends) for ends in _ends(w)) >= 0
    return usual and _fits(layer.c.channels)


def _ends(w: Window) -> tuple[list[int], list[int]]:
    """Return the padding before and after that turns s, spread by the stride, into the input's size."""
    before = [k - 1 - b for k, b in zip(w.kernel, w.before, strict=True)]
    wide = [o * s for o, s in zip(w.out, w.strides, strict=True)]
    return before, [n - 1 + k - b - o for n, k, b, o in zip(w.size, w.kernel, before, wide, strict=True)]


def _fits(channels: int) -> bool:
    size = block_size()
    return size is not None and channels % size == 0


def _count(layer: Layer) -> tuple[int, int, int]:
    c, places = layer.c, layer.positions
    wide = layer.sources if max(c.window.strides) > 1 else places
    operations = 4 * c.channels * layer.volume * (2 * places + wide)
    return operations, 4 * c.channels * (14 * places + 8 * layer.sources), 4 * c.channels * (8 * places + 3 * wide)


def _emit(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """G = x*R, Z = x*G + bias, C = x ⊙ (S₊*G₊ − S₋*G₋) with the filters turned about; R₂ as two tensors."""
    size = block_size()
    assert size is not None
    op, c, w = ctx.op, layer.c, layer.c.window
    blocks = Blocks(op, c.channels, size)
    maps = blocks.read(x)
    bias = op.Expand(bias_for(op, x), [c.channels])
    back: ir.Value | None = None
    for side, sign in zip(signs(op, blocks.read(op.Reshape(r, [1, c.channels, *w.out]))), (1.0, -1.0), strict=True):
        g = blocks.weight_gradient(maps, side, w)
        z = blocks.convolve(maps, g, w.strides, [*w.before, *w.after], bias)
        back = blocks.transpose(op.Div(side, z), op.Mul(g, sign * layer.factor), w, back)
    assert back is not None
    return ctx.part(blocks.write(op.Mul(back, maps)), c.channels, *w.size)


BLOCKED = Form("blocked", _applies, _count, _emit)


class Blocks:
    """Writes ops on tensors [1, C, H, W] that lie in memory as [C/size, H, W, size]."""

    def __init__(self, op: Emitter, channels: int, size: int) -> None:
        self._op, self._channels, self._size = op, channels, size

    def read(self, x: ir.Value) -> ir.Value:
        """Bring a tensor [1, C, H, W] into blocks."""
        return self._op.emit("ReorderInput", x, domain=_DOMAIN)

    def write(self, x: ir.Value) -> ir.Value:
        """Bring a tensor out of blocks."""
        return self._op.emit("ReorderOutput", x, domain=_DOMAIN, channels=self._channels)

    def convolve(
        self, x: ir.Value, weight: ir.Value, strides: tuple[int, ...], pads: list[int],
        bias: ir.Value | np.ndarray | None = None, to: ir.Value | None = None, dilations: tuple[int, ...] = (1, 1),
        kernel: tuple[int, ...] | None = None,
    ) -> ir.Value:  # fmt: skip
        """x*W + bias + to, every channel by itself; W a tensor in blocks as any other."""
        return self._op.emit(
            "Conv", x, weight, bias, to, domain=_DOMAIN, group=self._channels, strides=list(strides), pads=pads,
            dilations=list(dilations), kernel_shape=None if kernel is None else list(kernel),
        )  # fmt: skip

    def weight_gradient(self, x: ir.Value, r: ir.Value, w: Window) -> ir.Value:
        """x*r with the map as kernel and the stride as dilation, what is behind the kernel cut off: [C, 1, *kernel]."""
        behind = [s - n - b for s, n, b in zip(w.span, w.size, w.before, strict=True)]
        weight = self._op.Reshape(r, [self._channels, 1, *w.out])
        found = self.convolve(
            x, weight, (1, 1), [*w.before, *(max(b, 0) for b in behind)], dilations=w.strides, kernel=w.out
        )
        rows, columns = (k + max(-b, 0) for k, b in zip(w.kernel, behind, strict=True))
        if (rows, columns) != w.kernel:
            lying = self._op.Reshape(found, [-1, rows, columns, self._size])
            found = self._op.Slice(lying, [0, 0], [*w.kernel], [1, 2])
        return self._op.Reshape(found, [self._channels, 1, *w.kernel])

    def transpose(self, s: ir.Value, weight: ir.Value, w: Window, to: ir.Value | None) -> ir.Value:
        """convᵀ(s, W) + to: s with zeros between its entries, times the filter turned about."""
        op, (rows, columns) = self._op, w.kernel
        lying = op.Reshape(weight, [-1, rows * columns, self._size])
        turned = op.Gather(lying, list(reversed(range(rows * columns))), axis=1)
        turned = op.Reshape(turned, [self._channels, 1, rows, columns])
        before, after = _ends(w)
        s = s if w.strides == (1, 1) else self._spread(s, w)
        return self.convolve(s, turned, (1, 1), [*before, *after], to=to)

    def _spread(self, s: ir.Value, w: Window) -> ir.Value:
        """Put stride − 1 zeros behind every row and entry."""
        op, (rows, columns), (down, along) = self._op, w.out, w.strides
        entry = op.Pad(op.Reshape(s, [-1, self._size]), [0, 0, 0, self._size * (along - 1)])
        row = self._size * columns * along
        spread = op.Pad(op.Reshape(entry, [-1, row]), [0, 0, 0, row * (down - 1)])
        return op.Reshape(spread, [1, self._channels, rows * down, columns * along])


@cache
def block_size() -> int | None:
    """Return how many channels make a block here; None where these ops do not exist or do something else."""
    return next((size for size in _SIZES if _is_right(size)), None)


def _is_right(size: int) -> bool:
    """Run the ops once, on numbers whose results are known: the layout, and a convolution with bias and sum."""
    rng = np.random.default_rng(0)
    x, weight = (rng.integers(-4, 5, (1, 32, side, side)).astype(np.float32) for side in (5, 3))
    results = try_once(_probe(x, weight, size), {"x": x, "weight": weight})
    if results is None:
        return False
    laid, result = results
    lying = x.reshape(32 // size, size, 5, 5).transpose(0, 2, 3, 1)
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(x[0], ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    wanted = np.einsum("chwij,cij->chw", patches, weight[0]) + 0.5 + x[0]
    return np.array_equal(laid.reshape(lying.shape), lying) and np.array_equal(result[0], wanted)


def _probe(x: np.ndarray, weight: np.ndarray, size: int) -> ir.Graph:
    """Return a graph with the outputs x in blocks, and x*weight + 0.5 + x."""
    values = [ir.Value(name=n, shape=ir.Shape(v.shape), type=ir.TensorType(ir.DataType.FLOAT))
              for n, v in (("x", x), ("weight", weight))]  # fmt: skip
    graph = ir.Graph(values, [], nodes=[], opset_imports={"": 18}, name="probe")
    op = Emitter(graph, np.dtype(np.float32))
    blocks = Blocks(op, x.shape[1], size)
    maps = blocks.read(values[0])
    filters = op.Reshape(blocks.read(values[1]), [x.shape[1], 1, *weight.shape[2:]])
    summed = blocks.convolve(maps, filters, (1, 1), [1, 1, 1, 1], np.full(x.shape[1], 0.5), maps)
    for value in (op.Identity(maps), blocks.write(summed)):
        value.dtype = ir.DataType.FLOAT
        graph.outputs.append(value)
    return graph
