"""Reading at computed places: deformable convolution and regions of interest, as GridSample and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute, input_at
from rsp_onnx.rewrite.registry import Writing, expands

_LINEAR = 20  # the opset since which GridSample's bilinear is called linear


@expands("DeformConv", how="written out as GridSample and a 1×1 Conv, over a known size")
def expand_deform_conv(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write the entries under each kernel, read where the offsets say, times the mask, times the weights.

    Raises
    ------
    CannotExpandError
        It is not two-dimensional, or its sizes are not known before run time.
    """
    op, (image, weight, offset) = expansion.emitter(node.inputs[0]), node.inputs[:3]
    bias, mask = input_at(node, 3), input_at(node, 4)
    (channels, *size), kernel = _sizes(image)[1:], _sizes(weight)
    rows, columns = _sizes(offset)[2:]
    if len(size) != 2:
        raise CannotExpandError(f"it has {len(size)} spatial axes; two are supported")
    groups, taps = cast("int", attribute(node, "offset_group", 1)), kernel[2] * kernel[3]
    moved = op.Transpose(op.Reshape(offset, [-1, taps, 2, rows, columns]), perm=[0, 1, 3, 4, 2])
    grid = _grid(op, op.Add(moved, _places(node, kernel, (rows, columns))), size)
    grouped = image if groups == 1 else op.Reshape(image, [-1, channels // groups, *size])
    read = _sampled(expansion, op, grouped, op.Reshape(grid, [-1, taps * rows, columns, 2]), "zeros")
    if mask is not None:
        read = op.Mul(read, op.Reshape(mask, [-1, 1, taps * rows, columns]))
    read = op.Reshape(read, [-1, channels * taps, rows, columns])
    flat = op.Reshape(weight, [kernel[0], kernel[1] * taps, 1, 1])
    return [op.Conv(read, flat, bias, group=cast("int", attribute(node, "group", 1)), kernel_shape=[1, 1])]


def _places(node: ir.Node, kernel: Sequence[int], out: tuple[int, int]) -> np.ndarray:
    """Return where an undeformed convolution reads, (y, x): [taps, *out, 2]."""
    strides, dilations = (cast("list[int]", attribute(node, k, [1, 1])) for k in ("strides", "dilations"))
    before = cast("list[int]", attribute(node, "pads", [0] * 4))[:2]
    axes = [
        np.arange(kernel[2 + i])[:, None] * dilations[i] + np.arange(out[i]) * strides[i] - before[i] for i in (0, 1)
    ]
    rows, columns = np.broadcast_arrays(axes[0][:, None, :, None], axes[1][None, :, None, :])
    return np.stack([rows, columns], axis=-1).reshape(-1, *out, 2).astype(np.float64)


@expands("RoiAlign", how="written out as GridSample and a mean, for a fixed number of samples")
def expand_roi_align(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write the mean of a region's bins, each read bilinearly at sampling_ratio² places: [regions, C, *output].

    Raises
    ------
    CannotExpandError
        It takes maxima, chooses the number of samples by a region's size, or its sizes are not known before run time.
    """
    op, (image, regions, batch) = expansion.emitter(node.inputs[0]), node.inputs[:3]
    samples, size = cast("int", attribute(node, "sampling_ratio", 0)), _sizes(image)[2:]
    if attribute(node, "mode", "avg") != "avg":
        raise CannotExpandError("it takes the maximum of its samples; only their mean is supported")
    if samples <= 0:
        raise CannotExpandError("it samples by the size of its regions; export it with a sampling_ratio above 0")
    axes = [_bins(op, node, regions, axis, samples) for axis in (0, 1)]
    inside = [
        op.Cast(op.And(op.GreaterOrEqual(p, -1.0), op.LessOrEqual(p, float(n))), to=int(op.type))
        for p, n in zip(axes, size, strict=True)
    ]
    rows, columns = op.Unsqueeze(axes[0], [2]), op.Unsqueeze(axes[1], [1])
    both = [op.Add(rows, op.Mul(columns, 0.0)), op.Add(op.Mul(rows, 0.0), columns)]
    places = op.Concat(*(op.Unsqueeze(p, [3]) for p in both), axis=3)
    read = _sampled(expansion, op, op.Gather(image, batch, axis=0), _grid(op, places, size), "border")
    read = op.Mul(read, op.Mul(op.Unsqueeze(inside[0], [1, 3]), op.Unsqueeze(inside[1], [1, 2])))
    rows_of_bins = op.Reshape(read, [0, 0, -1, samples, _count(node, 1), samples])
    return [op.ReduceMean(rows_of_bins, [3, 5], keepdims=0)]


def _bins(op: Emitter, node: ir.Node, regions: ir.Value | None, axis: int, samples: int) -> ir.Value:
    """Return the places of all samples along one axis, in pixels: [regions, bins·samples]."""
    half = attribute(node, "coordinate_transformation_mode", "half_pixel") == "half_pixel"
    count = _count(node, axis)
    scale = float(cast("float", attribute(node, "spatial_scale", 1.0)))
    start, end = (
        op.Sub(op.Mul(op.Slice(regions, [at], [at + 1], [1]), scale), 0.5 if half else 0.0)
        for at in (1 - axis, 3 - axis)
    )
    extent = op.Sub(end, start)
    extent = extent if half else op.Max(extent, 1.0)
    steps = (np.arange(count * samples) + 0.5) / (count * samples)
    return op.Add(start, op.Mul(extent, steps[None]))


def _count(node: ir.Node, axis: int) -> int:
    return cast("int", attribute(node, ("output_height", "output_width")[axis], 1))


def _grid(op: Emitter, places: ir.Value, size: Sequence[int]) -> ir.Value:
    """Turn (y, x) in pixels into GridSample's (x, y) from −1 to 1."""
    extent = np.array(size, np.float64)
    return op.Gather(op.Add(op.Mul(places, 2.0 / extent), 1.0 / extent - 1.0), [1, 0], axis=-1)


def _sampled(expansion: Writing, op: Emitter, image: ir.Value | None, grid: ir.Value, padding: str) -> ir.Value:
    mode = "linear" if expansion.opset >= _LINEAR else "bilinear"
    return op.GridSample(image, grid, mode=mode, padding_mode=padding, align_corners=0)


def _sizes(value: ir.Value | None) -> list[int]:
    """Return a shape behind the batch, the batch as −1."""
    shape = None if value is None else value.shape
    if value is None or shape is None or not all(isinstance(d, int) for d in shape[1:]):
        name = "an input" if value is None else repr(value.name)
        raise CannotExpandError(f"the sizes of {name} are not known; give them with input_shapes")
    return [d if isinstance(d, int) else -1 for d in shape]
