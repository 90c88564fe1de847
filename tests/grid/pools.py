"""Pooling and reductions."""

from typing import Any

from .row import Row, ints

# label: sizes behind the batch, attributes
WINDOWS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "2x2 stride 2": ((3, 6, 4), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "overlapping": ((3, 7, 7), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "stride 1": ((2, 5, 6), {"kernel_shape": [3, 2]}),
    "rows uncovered": ((2, 8, 7), {"kernel_shape": [2, 2], "strides": [3, 3]}),
    "pads": ((2, 6, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "asymmetric pads": ((2, 6, 7), {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [0, 2, 1, 0]}),
    "ceil": ((2, 6, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "ceil small last window": ((2, 10, 7), {"kernel_shape": [3, 2], "strides": [3, 3], "ceil_mode": 1}),
    "ceil pads": ((2, 7, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1], "ceil_mode": 1}),
    "ceil pads stride 1": ((2, 6, 5), {"kernel_shape": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    "ceil pads one window less": ((2, 9, 8), {
        "kernel_shape": [3, 2], "strides": [3, 3], "pads": [1, 0, 0, 1], "ceil_mode": 1}),
    "dilation": ((2, 8, 8), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "dilation pads": ((2, 7, 8), {
        "kernel_shape": [3, 3], "strides": [2, 2], "dilations": [2, 2], "pads": [2, 1, 1, 2]}),
    "same upper": ((2, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((2, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((2, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "VALID"}),
    "1-D": ((3, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
    "3-D": ((2, 4, 5, 4), {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2], "pads": [0, 1, 0, 1, 1, 0]}),
    "3-D ceil": ((2, 5, 4, 5), {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2], "ceil_mode": 1}),
}  # fmt: skip
COUNTING = ("pads", "asymmetric pads", "ceil pads", "ceil pads one window less", "ceil small last window", "3-D",
            "same lower", "dilation pads")  # fmt: skip


def _reduce(
    op: str, label: str, axes: tuple[int, ...] | None, size: tuple[int, ...] = (3, 4, 5), **attributes: int
) -> Row:
    return Row(op, label, (size, *([] if axes is None else [ints(*axes)])), attributes)


def _old_reduce(op: str, opset: int) -> Row:
    return Row(op, f"opset {opset}", ((3, 4, 5),), {"axes": [-2, 3], "keepdims": 0}, opset=opset)


ROWS = [Row("MaxPool", label, (size,), given) for label, (size, given) in WINDOWS.items()]
ROWS += [Row("MaxPool", "column major indices", ((2, 5, 4),), {"kernel_shape": [2, 2], "storage_order": 1})]
ROWS += [Row("AveragePool", label, (size,), given, opset=19) for label, (size, given) in WINDOWS.items()]
ROWS += [
    Row(
        "AveragePool", f"{label} counted", (WINDOWS[label][0],), {**WINDOWS[label][1], "count_include_pad": 1}, opset=19
    )
    for label in COUNTING
]
ROWS += [
    Row(op, f"{len(size) - 1}-D", (size,))
    for op in ("GlobalAveragePool", "GlobalMaxPool")
    for size in ((3, 5), (3, 4, 5), (2, 3, 2, 3))
]
ROWS += [
    row
    for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
    for row in (
        _reduce(op, "spatial", (2, 3)),
        _reduce(op, "spatial dropped", (2, 3), keepdims=0),
        _reduce(op, "negative axes dropped", (-1, -3), keepdims=0),
        _reduce(op, "tokens", (1,), (4, 6), keepdims=0),
        _reduce(op, "last axis", (-1,)),
        _reduce(op, "nothing", None, noop_with_empty_axes=1),
        _old_reduce(op, 11),
    )
]
