"""Forward values of what slides a window: convolution and pooling, any rank, in torch float64."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
import torch.nn.functional as nnf

from .table import Tensor, ints, op


def window_pads(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    **_: Any,
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations, pads before and pads after, with auto_pad resolved."""
    n = len(kernel)
    strides, dilations, pads = list(strides or [1] * n), list(dilations or [1] * n), list(pads or [0] * 2 * n)
    if auto_pad in ("NOTSET", "VALID"):
        return strides, dilations, pads[:n], pads[n:]
    totals = [
        max((ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0)
        for i, k, s, d in zip(size, kernel, strides, dilations, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (strides, dilations, small, large) if auto_pad == "SAME_UPPER" else (strides, dilations, large, small)


def padded(x: Tensor, before: Sequence[int], after: Sequence[int], fill: float = 0.0) -> Tensor:
    """Pad the last axes of x; torch wants the last axis first."""
    pairs = [p for pair in list(zip(before, after, strict=True))[::-1] for p in pair]
    return nnf.pad(x, pairs, value=fill)


@op("Conv")
def conv(x: Tensor, w: Tensor, b: Tensor | None = None, group: int = 1, **how: Any) -> Tensor:
    kernel = how.pop("kernel_shape", None) or w.shape[2:]
    strides, dilations, before, after = window_pads(x.shape[2:], kernel, **how)
    convolve = {1: nnf.conv1d, 2: nnf.conv2d, 3: nnf.conv3d}[len(kernel)]
    return convolve(padded(x, before, after), w, b, stride=strides, dilation=dilations, groups=group)


def windows(
    x: Tensor, fill: float, beyond: float, kernel_shape: Sequence[int], ceil_mode: int = 0, **how: Any
) -> Tensor:
    """Every pooling window as the last axis: N×C×(output positions)×(kernel elements, in scan order).

    Padding holds `fill`; what a last window of ceil_mode reads after the padding is `beyond`.
    """
    strides, dilations, before, after = window_pads(x.shape[2:], kernel_shape, **how)
    size, n = x.shape[2:], len(kernel_shape)
    x = padded(x, before, after, fill)
    x = padded(x, [0] * n, [k * d + s for k, d, s in zip(kernel_shape, dilations, strides, strict=True)], beyond)
    for axis, (k, s, d) in enumerate(zip(kernel_shape, strides, dilations, strict=True)):
        space = size[axis] + before[axis] + after[axis] - (k - 1) * d - 1
        count = (ceil(space / s) if ceil_mode else space // s) + 1
        if ceil_mode and (count - 1) * s >= size[axis] + before[axis]:
            count -= 1  # a window that starts in the padding after the image is none
        reads = torch.arange(count)[:, None] * s + torch.arange(k) * d
        x = x.movedim(2 + axis, -1)[..., reads].movedim(-2, 2 + axis)
    return x.flatten(2 + n)


@op("MaxPool")
def max_pool(x: Tensor, storage_order: int = 0, **how: Any) -> Tensor:
    """Maximum over each window; of equal values the first in scan order counts."""
    return windows(x, float("-inf"), float("-inf"), **how).max(-1).values


@op("AveragePool")
def average_pool(x: Tensor, count_include_pad: int = 0, **how: Any) -> Tensor:
    """Sum of each window over the number of its elements inside the image (or inside the padded image)."""
    count = windows(torch.ones_like(x), float(count_include_pad), 0.0, **how).sum(-1)
    return windows(x, 0.0, 0.0, **how).sum(-1) / count


def spatial(x: Tensor) -> list[int]:
    """Axes after N and C."""
    return list(range(2, x.ndim))


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(spatial(x), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    return x.flatten(2).max(-1).values.reshape(*x.shape[:2], *[1] * (x.ndim - 2))


@op("ReduceMean")
def reduce_mean(x: Tensor, given: Tensor | None = None, axes: Any = None, keepdims: int = 1, **_: Any) -> Tensor:
    return x.mean(ints(given if given is not None else axes) or list(range(x.ndim)), keepdim=bool(keepdims))


@op("ReduceSum")
def reduce_sum(x: Tensor, given: Tensor | None = None, axes: Any = None, keepdims: int = 1, **_: Any) -> Tensor:
    return x.sum(ints(given if given is not None else axes) or list(range(x.ndim)), keepdim=bool(keepdims))
