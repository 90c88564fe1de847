"""Resize, and Upsample, which is lifted to it."""

from typing import Any

from .row import Row

MAP = (2, 4, 5)
OUTSIDE = "what comes from outside the image takes its relevance with it"
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


def _resize(
    label: str,
    numbers: str = "scales: 1, 1, 2, 2",
    size: tuple[int, ...] = MAP,
    *,
    roi: str = "",
    absorbs: str = "",
    **given: Any,
) -> Row:
    """Return a row as text: scales and the region are float32 whatever the image's type."""
    what, _, values = numbers.partition(": ")
    count = len(values.split(","))
    kind = "float" if what == "scales" else "int64"
    region = f"r = Constant<value = float[{2 * count}] {{{roi}}}>()" if roi else ""
    places = {"scales": f"x, {'r' if roi else ''}, s", "sizes": f"x, {'r' if roi else ''}, , s"}[what]
    words = [f'{name} = "{v}"' if isinstance(v, str) else f"{name} = {v}" for name, v in given.items()]
    settings = f"<{', '.join(words)}>" if words else ""
    numbers_ = ", ".join(str(float(v)) if kind == "float" else v for v in values.split(", "))
    shape = ", ".join(["N", *map(str, size)])
    coarse = "cubic" in given.values() or "antialias" in given or roi  # where ONNX's reference computes in float32
    return Row("Resize", label, opset=19, absorbs=absorbs, tolerance=1e-5 if coarse else 1e-10, text=f"""
        resized (T[{shape}] x) => (y) {{
            {region}
            s = Constant<value = {kind}[{count}] {{{numbers_}}}>()
            y = Resize{settings}({places})
        }}""")  # fmt: skip


UP, DOWN = "sizes: 7, 8", "sizes: 2, 3"

ROWS = [
    _resize(
        f"nearest {places} {rounding}", UP, axes=[2, 3], coordinate_transformation_mode=places, nearest_mode=rounding
    )
    for places in PLACES
    for rounding in NEAREST
]
ROWS += [
    _resize(f"{mode} {places} {label}", numbers, mode=mode, axes=[2, 3], coordinate_transformation_mode=places)
    for mode in ("linear", "cubic")
    for places in PLACES
    for label, numbers in (("up", UP), ("down", DOWN))
]
ROWS += [
    _resize(f"scales {places}", "scales: 1, 1, 2, 1.3", mode="linear", coordinate_transformation_mode=places)
    for places in ("half_pixel", "asymmetric", "half_pixel_symmetric")
]
ROWS += [
    _resize("default", "scales: 1, 1, 2, 3"),
    _resize("down nearest", "scales: 1, 1, 0.5, 0.6"),
    _resize("down nearest asymmetric floor", "scales: 1, 1, 0.5, 0.6", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor"),
    _resize("sizes", "sizes: 7, 8", mode="linear", axes=[2, 3]),
    _resize("one row", "sizes: 1, 1", mode="linear", axes=[2, 3]),
    _resize("one row pytorch", "sizes: 1, 7", mode="linear", axes=[2, 3],
            coordinate_transformation_mode="pytorch_half_pixel"),
    _resize("one row align corners", "sizes: 1, 7", mode="linear", axes=[2, 3],
            coordinate_transformation_mode="align_corners"),
    _resize("cubic sizes", "sizes: 7, 3", mode="cubic", axes=[2, 3]),
    _resize("cubic without outside", "sizes: 7, 3", mode="cubic", axes=[2, 3], exclude_outside=1),
    _resize("cubic a", "sizes: 7, 8", mode="cubic", axes=[2, 3], cubic_coeff_a=-0.5),
    _resize("antialias linear down", DOWN, mode="linear", axes=[2, 3], antialias=1),
    _resize("antialias cubic down", DOWN, mode="cubic", axes=[2, 3], antialias=1),
    _resize("antialias cubic without outside", DOWN, mode="cubic", axes=[2, 3], antialias=1, exclude_outside=1),
    _resize("antialias linear up", UP, mode="linear", axes=[2, 3], antialias=1),
    _resize("crop", "sizes: 3, 4", mode="linear", axes=[2, 3], roi="0.1, 0.2, 0.8, 0.9",
            coordinate_transformation_mode="tf_crop_and_resize"),
    _resize("crop outside", "sizes: 6, 4", mode="linear", axes=[2, 3], roi="-0.25, 0.2, 0.75, 1.3",
            coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.5, absorbs=OUTSIDE),
    _resize("crop nearest", "sizes: 3, 4", axes=[2, 3], roi="0.1, 0.2, 0.8, 0.9",
            coordinate_transformation_mode="tf_crop_and_resize"),
    _resize("not larger", "sizes: 7, 6", mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    _resize("not smaller nearest", "sizes: 7, 6", axes=[2, 3], keep_aspect_ratio_policy="not_smaller"),
    _resize("1-D", "scales: 1, 1, 1.6", (2, 5), mode="linear"),
    _resize("3-D", "scales: 1, 1, 2, 1.5, 2", (1, 2, 4, 3), mode="linear"),
    _resize("3-D nearest", "scales: 1, 1, 2, 1.5, 2", (1, 2, 4, 3)),
    _resize("channels last", "scales: 1, 2, 1.6, 1", (4, 5, 2), mode="linear"),
    _resize("channels last nearest", "scales: 1, 2, 2, 1", (4, 5, 2)),
    Row("Upsample", "opset 9", opset=9, text="""
        up (T[N, 2, 4, 5] x) => (y) {
            s = Constant<value = float[4] {1.0, 1.0, 2.0, 3.0}>()
            y = Upsample<mode = "nearest">(x, s)
        }"""),
    Row("Resize", "run-time sizes", text="""
        resized (T[N, 2, 4, 5] x) => (y) {
            front = Shape<start = 0, end = 2>(x)
            rest = Constant<value = int64[2] {7, 9}>()
            sizes = Concat<axis = 0>(front, rest)
            y = Resize<mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel">(x, , , sizes)
        }"""),
]  # fmt: skip
