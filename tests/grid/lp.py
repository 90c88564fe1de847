"""Norms, logarithms and products over axes and windows."""

from .row import Row, ints

POSITIVE = (0.3, 3.0)
REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceLogSum", "ReduceProd")


def _reduce(op: str, label: str, axes: tuple[int, ...] | None, **given: int) -> Row:
    operands = ((3, 4, 2), *([] if axes is None else [ints(*axes)]))
    return Row(op, label, operands, given, span=POSITIVE if op == "ReduceLogSum" else (-2.0, 2.0))


ROWS = [
    row
    for op in REDUCTIONS
    for row in (
        _reduce(op, "spatial", (2, 3)),
        _reduce(op, "negative axes dropped", (-1, -3), keepdims=0),
        _reduce(op, "channels", (1,)),
        Row(op, "opset 11", ((3, 4, 2),), {"axes": [-2, 3], "keepdims": 0}, opset=11, span=POSITIVE),
    )
]
ROWS += [
    Row("LpPool", label, (size,), given)
    for label, size, given in (
        ("2x2 stride 2", (3, 6, 4), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("overlapping p 1", (2, 7, 5), {"kernel_shape": [3, 3], "strides": [2, 1], "p": 1}),
        ("overlapping p 3", (2, 7, 5), {"kernel_shape": [3, 2], "strides": [2, 1], "p": 3}),
        ("rows uncovered", (2, 8, 7), {"kernel_shape": [2, 2], "strides": [3, 3]}),
        ("1-D", (3, 9), {"kernel_shape": [3], "strides": [2]}),
        ("3-D", (2, 4, 5, 4), {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2]}),
    )
]
ROWS += [
    Row("GlobalLpPool", "2-D", ((3, 4, 2),)),
    Row("GlobalLpPool", "p 3", ((2, 3, 3),), {"p": 3}),
    Row("GlobalLpPool", "1-D p 1", ((3, 5),), {"p": 1}),
]
