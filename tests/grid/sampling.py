"""GridSample and its grids: reading between positions."""

from .row import Row, weights

OUTSIDE = "what is read outside is absorbed"


def _row(
    label: str, image: str, grid: str, *, opset: int = 20, absorbs: str = OUTSIDE, span=(-0.9, 0.9), **given
) -> Row:
    """The grid comes from a second input, so that both gradients are held to the adjoint test."""
    settings = ", ".join(f"{k} = {v}" if isinstance(v, int) else f'{k} = "{v}"' for k, v in given.items())
    return Row(
        "GridSample",
        label,
        text=f"sampled (T[N, {image}] x, T[N, {grid}] at) => (y) {{ y = GridSample<{settings}>(x, at) }}",
        opset=opset,
        span=span,
        absorbs=absorbs,
        tolerance=1e-4 if opset < 20 else 1e-10,  # below 20 only onnx.reference runs it, with float32 coordinates
    )


ROWS = [
    _row("linear", "2, 4, 5", "3, 2, 2", mode="linear"),
    _row("linear corners", "2, 4, 5", "3, 2, 2", mode="linear", align_corners=1),
    _row("border", "2, 3, 4", "2, 2, 2", mode="linear", padding_mode="border", span=(-1.7, 1.7), absorbs=""),
    _row("border corners", "2, 3, 4", "2, 2, 2", mode="linear", padding_mode="border", align_corners=1,
         span=(-1.7, 1.7), absorbs=""),
    _row("reflection", "2, 3, 4", "2, 2, 2", mode="linear", padding_mode="reflection", span=(-1.7, 1.7), absorbs=""),
    _row("reflection corners", "2, 3, 4", "2, 2, 2", mode="linear", padding_mode="reflection", align_corners=1,
         span=(-1.7, 1.7), absorbs=""),
    _row("nearest", "2, 3, 4", "3, 2, 2", mode="nearest"),
    _row("cubic", "1, 5, 4", "2, 2, 2", mode="cubic", padding_mode="border"),
    _row("cubic zeros corners", "1, 5, 4", "2, 2, 2", mode="cubic", align_corners=1),
    _row("bilinear 16", "2, 4, 5", "3, 2, 2", opset=16, mode="bilinear"),
    _row("volume", "1, 3, 2, 3", "2, 1, 2, 3", mode="linear", padding_mode="border", absorbs=""),
]  # fmt: skip
ENDS = "relevance ends at the grid"
ROWS += [
    Row("AffineGrid", label, text=f"""
        placed (T[N, {sizes}] theta) => (y) {{
            front = Shape<start = 0, end = 1>(theta)
            rest = Constant<value = int64[{out.count(",") + 1}] {{{out}}}>()
            size = Concat<axis = 0>(front, rest)
            y = AffineGrid{settings}(theta, size)
        }}""", opset=20, absorbs=ENDS)
    for label, sizes, out, settings in (
        ("2-D", "2, 3", "1, 3, 4", ""),
        ("2-D corners", "2, 3", "2, 4, 3", "<align_corners = 1>"),
        ("3-D", "3, 4", "1, 2, 3, 4", ""),
        ("3-D corners", "3, 4", "1, 3, 2, 4", "<align_corners = 1>"),
    )
]  # fmt: skip
ROWS += [
    Row("DeformConv", label, operands, settings, opset=opset, span=(-0.9, 0.9), absorbs=OUTSIDE,
        tolerance=1e-4)  # with a Conv in float64 only onnx.reference runs it, with float32 coordinates
    for label, operands, settings, opset in (
        ("plain", ((2, 5, 4), weights(3, 2, 2, 2), (8, 4, 3)), {"kernel_shape": [2, 2]}, 20),
        ("mask and bias", ((2, 4, 4), weights(3, 2, 2, 2), (8, 3, 3), weights(3), (4, 3, 3)), {}, 20),
        ("pads strides dilations", ((2, 5, 5), weights(2, 2, 2, 2), (8, 3, 2)),
         {"pads": [1, 0, 1, 0], "strides": [2, 2], "dilations": [2, 2]}, 20),
        ("groups", ((4, 4, 3), weights(4, 2, 2, 1), (8, 3, 3)), {"group": 2, "offset_group": 2}, 20),
        ("opset 19", ((2, 4, 4), weights(3, 2, 2, 2), (8, 3, 3)), {}, 19),
    )
]  # fmt: skip
ROWS += [
    Row("RoiAlign", label, mixes="regions stand where samples stood", text=f"""<ir_version: 8, opset_import: ["" : 20]>
        cut (T[1, 2, 4, 5] x) => (T[3, 2, {out}] y) <int64[3] first = {{0, 0, 0}}, T[3, 4] regions =
            {{0.2, 0.4, 3.1, 2.6, 1.0, 0.3, 2.4, 3.3, {last}}}> {{
            y = RoiAlign<{settings}>(x, regions, first)
        }}""", absorbs=absorbs)
    for label, out, last, settings, absorbs in (
        ("half pixel", "2, 3", "0.5, 1.2, 4.2, 2.9", "output_height = 2, output_width = 3, sampling_ratio = 2", ""),
        ("outside", "2, 2", "-3.1, 1.2, 9.4, 2.9", "output_height = 2, output_width = 2, sampling_ratio = 2", ""),
        ("output half pixel", "1, 2", "0.5, 1.2, 4.2, 2.9", "output_width = 2, sampling_ratio = 1, "
         'spatial_scale = 0.9, coordinate_transformation_mode = "output_half_pixel"', ""),
    )
]  # fmt: skip
