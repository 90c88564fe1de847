"""Convolutions: their geometry with everything resolved, and how they and their adjoints are emitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import is_folded

from .context import Context
from .numerics import cut, pad

_WORTH_TURNING = 8  # channels: with fewer, such as an image's, ConvTranspose is faster
_BEFORE_ALL = -(2**31)  # where a Slice that goes backward ends to take all


@dataclass(frozen=True)
class Window:
    """A sliding window over the spatial axes, everything resolved (auto_pad, ceil_mode, defaults).

    Attributes
    ----------
    size, out : tuple of int
        Spatial sizes of input and output; one entry per spatial axis, as in all fields.
    before, after : tuple of int
        Padding. ``after`` may exceed what the file says, or be negative, where the last windows ask for it.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    size: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def axes(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def pointwise(self) -> bool:
        """Tell whether the kernel has one entry."""
        return all(k == 1 for k in self.kernel)

    @property
    def plain(self) -> bool:
        """Tell whether output positions are input positions: kernel 1, stride 1, no padding."""
        return self.pointwise and all(s == 1 for s in self.strides) and not any(self.before + self.after)

    @property
    def span(self) -> tuple[int, ...]:
        """Length of input the windows cover: from the first window's first entry to the last one's last."""
        rows = zip(self.out, self.strides, self.kernel, self.dilations, strict=True)
        return tuple((o - 1) * s + (k - 1) * d + 1 for o, s, k, d in rows)


def window(node: ir.Node, kernel: tuple[int, ...], size: tuple[int, ...], out: tuple[int, ...]) -> Window:
    """Resolve the window of a Conv or pooling node from its attributes and the sizes before and behind it."""
    n = len(kernel)
    strides = tuple(cast("list[int]", attribute(node, "strides") or [1] * n))
    dilations = tuple(cast("list[int]", attribute(node, "dilations") or [1] * n))
    pads = cast("list[int]", attribute(node, "pads") or [0] * 2 * n)
    before, after = list(pads[:n]), list(pads[n:])
    mode = attribute(node, "auto_pad", "NOTSET")
    if mode == "VALID":
        before, after = [0] * n, [0] * n
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(n):
            need = max((out[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size[i], 0)
            small = need // 2
            before[i], after[i] = (small, need - small) if mode == "SAME_UPPER" else (need - small, small)
    return Window(kernel, strides, dilations, tuple(before), tuple(after), size, out)


@dataclass(frozen=True)
class Convolution:
    """Geometry of a Conv node: its window, channels in and out, groups."""

    window: Window
    channels: int
    filters: int
    group: int


def convolution(ctx: Context, node: ir.Node) -> Convolution:
    """Return the geometry of a Conv node; BadModel where its weight is computed from a batch of images."""
    if ctx.graph.active(node.inputs[1]) and not ctx.single:
        raise BadModel(
            f"The weight of the Conv node {node.name!r} is computed from the image, which is supported for one image "
            "at a time: fix the batch size to 1 when exporting, or choose a later section behind it with --section."
        )
    channels, *size = ctx.sizes(node.inputs[0])
    filters, *out = ctx.sizes(node.outputs[0])
    weight = node.inputs[1]
    shape = ctx.dims(weight)
    if weight is None or len(shape) != len(size) + 2 or None in shape:
        shape = ctx.need_constant(node, 1).shape
    kernel = tuple(int(k or 1) for k in shape[2:])
    group = cast("int", attribute(node, "group", 1))
    return Convolution(window(node, kernel, tuple(size), tuple(out)), channels, filters, group)


def adjoint_convolve(
    op: Emitter, s: ir.Value, weight: ir.Value | np.ndarray, w: Window, group: int, channels: int = 0
) -> ir.Value:
    """Convᵀ(s, W): s [B, O, *out], W [O, C/group, *kernel] → [B, C, *size]; exact for every stride and padding.

    With stride 1 and a constant W it is a convolution too, by W turned around, in about half the time. Else
    ConvTranspose is given what pads have alike before and behind, since CUDA's kernel takes no others; the rest is cut.

    channels: C where the convolution may be taken; 0 where W is not constant or C not known.
    """
    if channels >= _WORTH_TURNING and isinstance(weight, ir.Value) and is_folded(weight):
        pads = _turned_pads(w)
        if set(w.strides) == {1} and min(pads) >= 0:
            turned = _turned(op, weight, w, group, channels)
            dilations, kernel = list(w.dilations), list(w.kernel)
            return op.Conv(s, turned, pads=pads, dilations=dilations, kernel_shape=kernel, group=group)
    alike = [max(min(b, a), 0) for b, a in zip(w.before, w.after, strict=True)]
    rest = [b - same for b, same in zip(w.before, alike, strict=True)]
    rows = zip(rest, w.size, alike, w.span, strict=True)
    extra = [max(before + n + 2 * same - span, 0) for before, n, same, span in rows]
    limits = [max(x, d) for x, d in zip(w.strides, w.dilations, strict=True)]
    settings = {
        "strides": list(w.strides),
        "dilations": list(w.dilations),
        "group": group,
        "kernel_shape": list(w.kernel),
    }
    if any(e >= limit for e, limit in zip(extra, limits, strict=True)):
        return crop(op, op.ConvTranspose(s, weight, **settings), w, first_axis=2)
    back = op.ConvTranspose(s, weight, pads=[*alike, *alike], output_padding=extra, **settings)
    for axis, (before, n, same, span) in enumerate(zip(rest, w.size, alike, w.span, strict=True)):
        if before or span - 2 * same + extra[axis] != n:
            back = cut(op, back, 2 + axis, before, n)
    return back


def _turned_pads(w: Window) -> list[int]:
    """Return what a convolution of s pads, so that every entry of the input is met by every entry of the kernel."""
    reach = [d * (k - 1) for k, d in zip(w.kernel, w.dilations, strict=True)]
    before = [r - b for r, b in zip(reach, w.before, strict=True)]
    return [*before, *(n + r - o - b for n, r, o, b in zip(w.size, reach, w.out, before, strict=True))]


def _turned(op: Emitter, weight: ir.Value, w: Window, group: int, channels: int) -> ir.Value:
    """W [O, C/group, *kernel] with filters and channels swapped, the kernel from its end: [C, O/group, *kernel]."""
    kernel = list(range(w.axes))
    if group > 1:
        apart = op.Reshape(weight, [group, -1, channels // group, *w.kernel])
        swapped = op.Transpose(apart, perm=[0, 2, 1, *(a + 3 for a in kernel)])
        swapped = op.Reshape(swapped, [channels, -1, *w.kernel])
    else:
        swapped = op.Transpose(weight, perm=[1, 0, *(a + 2 for a in kernel)])
    axes = [a + 2 for a in kernel if w.kernel[a] > 1]
    if not axes:
        return swapped
    return op.Slice(swapped, [-1] * len(axes), [_BEFORE_ALL] * len(axes), axes, [-1] * len(axes))


def crop(op: Emitter, full: ir.Value, w: Window, first_axis: int, copies: int = 1) -> ir.Value:
    """Cut the input's extent out of what the windows cover; rows no window reaches become 0.

    The spatial axes begin at ``first_axis``; with ``copies=2`` they stand there twice in a row.
    """
    missing = [max(n + b - f, 0) for n, b, f in zip(w.size, w.before, w.span, strict=True)]
    full = pad(op, full, [0] * (first_axis + copies * w.axes), [0] * first_axis + missing * copies)
    for copy in range(copies):
        for i in range(w.axes):
            if w.before[i] or w.span[i] + missing[i] != w.size[i]:
                full = cut(op, full, first_axis + copy * w.axes + i, w.before[i], w.size[i])
    return full


def convolve(
    op: Emitter,
    x: ir.Value,
    weight: ir.Value | np.ndarray,
    w: Window,
    group: int,
    bias: ir.Value | np.ndarray | None = None,
) -> ir.Value:
    """X*W + b with this geometry: x [B, C, *size], W [O, C/group, *kernel], b [O] → [B, O, *out]."""
    return op.Conv(
        x,
        weight,
        bias,
        strides=list(w.strides),
        dilations=list(w.dilations),
        pads=[*w.before, *w.after],
        group=group,
        kernel_shape=list(w.kernel),
    )
