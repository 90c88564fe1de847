"""Ops that move values."""

import numpy as np

from .row import Again, Fixed, Row, ints

MAP = (3, 4, 5)
CONSTANT = "what belongs to a constant part is absorbed"
FOLDED = "the batch axis is folded into another"
LAST = np.iinfo(np.int64).max
FIRST = np.iinfo(np.int64).min


def _pad(
    label: str, *pads: int, value: float | None = None, axes: tuple[int, ...] = (), opset: int = 18, **given: str
) -> Row:
    constants = [ints(*pads), None if value is None else np.array(value), ints(*axes) if axes else None]
    absorbs = CONSTANT if given.get("mode", "constant") == "constant" and any(p > 0 for p in pads) else ""
    return Row("Pad", label, (MAP, *constants), given, opset=opset, absorbs=absorbs)


def _slice(
    label: str, starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None = None
) -> Row:
    optional = [None if v is None else ints(*v) for v in (axes, steps)]
    return Row("Slice", label, (MAP, ints(*starts), ints(*ends), *optional))


ROWS = [
    Row("Reshape", "to rows", (MAP, ints(0, -1))),
    Row("Reshape", "inferred middle", (MAP, ints(0, 6, -1))),
    Row("Reshape", "keep zeros", (MAP, ints(0, 0, 20))),
    Row("Reshape", "free batch", (MAP, ints(-1, 2, 6, 5))),
    Row("Reshape", "batch folded", (MAP, ints(-1, 20)), mixes=FOLDED),
    Row("Flatten", "axis 1", (MAP,)),
    Row("Flatten", "axis 2", (MAP,), {"axis": 2}, mixes=FOLDED),
    Row("Flatten", "axis -3", (MAP,), {"axis": -3}),
    Row("Squeeze", "axes", ((3, 1, 1), ints(2, 3))),
    Row("Squeeze", "negative axes", ((1, 4, 1), ints(-1, -3))),
    Row("Squeeze", "opset 11", ((3, 1, 4),), {"axes": [2]}, opset=11),
    Row("Unsqueeze", "axes", ((3, 4), ints(2, 4))),
    Row("Unsqueeze", "behind the batch", ((4,), ints(1, -1))),
    Row("Unsqueeze", "negative axes", ((3, 4), ints(-1, -3))),
    Row("Transpose", "channels last", (MAP,), {"perm": [0, 2, 3, 1]}),
    Row("Transpose", "cycle", ((2, 3, 4, 2),), {"perm": [0, 3, 1, 4, 2]}),
    Row("Transpose", "default reverses", (MAP,), mixes="the batch axis moves"),
    Row("Transpose", "batch moves", (MAP,), {"perm": [2, 0, 1, 3]}, mixes="the batch axis moves"),
    Row("Expand", "space", ((3, 1, 1), ints(1, 3, 4, 5))),
    Row("Expand", "shorter shape", ((3, 1, 5), ints(4, 1))),
    Row("Concat", "channels", ((2, 4), (3, 4)), {"axis": 1}),
    Row("Concat", "last axis", ((2, 4), (2, 3), (2, 1)), {"axis": -1}),
    Row("Concat", "the same twice", ((2, 4), Again(0)), {"axis": 1}),
    Row("Split", "even", ((6, 4),), {"axis": 1, "num_outputs": 3}, outputs=3),
    Row("Split", "uneven count", ((7, 4),), {"axis": 1, "num_outputs": 3}, outputs=3),
    Row("Split", "sizes", ((6, 4), ints(1, 3, 2)), {"axis": -2}, outputs=3),
    Row("Split", "opset 11", ((6, 4),), {"axis": 2, "split": [1, 3]}, outputs=2, opset=11),
    Row("Tile", "space", ((2, 3, 2), ints(1, 1, 2, 3))),
    Row("Tile", "channels", ((2, 3), ints(1, 3, 1))),
    _slice("window", [1, 0], [3, 4], [2, 3]),
    _slice("from the end", [-3, -4], [-1, LAST], [-2, -1]),
    _slice("no axes", [0, 1, 1], [LAST, 3, LAST], None),
    _slice("channels kept", [0], [LAST], [1]),
    _slice("beyond the end", [2], [100], [3]),
    _slice("steps", [0, 1], [LAST, LAST], [2, 3], [2, 3]),
    _slice("backwards", [-1], [FIRST], [3], [-1]),
    _slice("backwards by two", [4, 3], [0, -5], [3, 2], [-2, -1]),
    _slice("backwards from beyond", [100], [-100], [2], [-2]),
    Row("Slice", "opset 9", (MAP,), {"axes": [2, 3], "starts": [1, -2], "ends": [3, 100]}, opset=9),
    _pad("constant", 0, 0, 1, 2, 0, 0, 0, 1),
    _pad("constant value", 0, 0, 1, 0, 0, 0, 2, 1, value=0.7),
    _pad("negative", 0, 0, -1, 0, 0, 0, -1, -2),
    _pad("negative and positive", 0, 0, -1, 1, 0, 0, 2, -2),
    _pad("axes", 1, 2, 0, 1, axes=(-1, 2)),
    _pad("channels", 0, 1, 0, 0, 0, 2, 0, 0),
    _pad("reflect", 0, 0, 1, 2, 0, 0, 3, 0, mode="reflect"),
    _pad("edge", 0, 0, 1, 2, 0, 0, 3, 0, mode="edge"),
    _pad("edge axes", 2, 3, axes=(3,), mode="edge"),
    _pad("edge negative", 0, 0, -1, 2, 0, 0, 1, -1, mode="edge"),
    _pad("reflect negative", 0, 0, -1, 2, 0, 0, 1, -1, mode="reflect"),
    _pad("wrap", 0, 0, 1, 2, 0, 0, 3, 0, mode="wrap", opset=19),
    Row("Pad", "opset 2", (MAP,), {"pads": [0, 0, 1, 0, 0, 0, 0, 2]}, opset=2, absorbs=CONSTANT),
    Row("Gather", "scalar", (MAP, np.array(1)), {"axis": 1}),
    Row("Gather", "negative scalar", (MAP, np.array(-1)), {"axis": 2}),
    Row("Gather", "row", (MAP, ints(2, 0)), {"axis": 1}),
    Row("Gather", "repeats", (MAP, ints(2, 0, 2, -1, 2)), {"axis": -1}),
    Row("Gather", "table", (MAP, ints([0, 2, 2], [1, -1, 0])), {"axis": 2}),
    Row("Gather", "table on channels", ((3, 4), ints([0, 2], [1, 1])), {"axis": 1}),
]
ROWS += [
    Row("CenterCropPad", "crop", (MAP, ints(2, 3)), {"axes": [2, 3]}),
    Row("CenterCropPad", "crop odd", (MAP, ints(1, 2)), {"axes": [-2, -1]}),
    Row("CenterCropPad", "pad", (MAP, ints(7, 6)), {"axes": [2, 3]}, absorbs=CONSTANT),
    Row("CenterCropPad", "both", (MAP, ints(4, 3, 8)), {"axes": [1, 2, 3]}, absorbs=CONSTANT),
    Row("CenterCropPad", "batch too", (Fixed((2, 4, 5)), ints(2, 3, 5)), mixes="the batch is fixed"),
]
ROWS += [
    Row("Gather", "found at run time", text="""
        found (T[N, 3, 4] x) => (y) {
            best = ArgMax<axis = 1, keepdims = 0>(x)
            none = Constant<value = int64 {0}>()
            axes = Constant<value = int64[1] {0}>()
            still = ReduceMin<keepdims = 0>(best, axes)
            ids = Mul(still, none)
            y = Gather<axis = 2>(x, ids)
        }"""),
    Row("Gather", "along the batch at run time", text="""
        found (T[N, 4] x) => (T[N, 2, 1] y) {
            rest = Constant<value = int64[1] {-1}>()
            flat = Reshape(x, rest)
            front = Shape<start = 0, end = 1>(x)
            none = Constant<value = int64[1] {0}>()
            n = Squeeze(front, none)
            zero = Constant<value = int64 {0}>()
            one = Constant<value = int64 {1}>()
            rows = Range(zero, n, one)
            four = Constant<value = int64 {4}>()
            first = Mul(rows, four)
            axes = Constant<value = int64[2] {1, 2}>()
            wide = Unsqueeze(first, axes)
            offsets = Constant<value = int64[1, 2, 1] {3, 1}>()
            ids = Add(wide, offsets)
            y = Gather<axis = 0>(flat, ids)
        }"""),
    Row("Concat", "constant part", text="""
        joined (T[N, 2, 4] x) => (T[N, 3, 4] y) {
            shape = Shape<start = 0, end = 1>(x)
            rest = Constant<value = int64[2] {1, 4}>()
            full = Concat<axis = 0>(shape, rest)
            zero = ConstantOfShape<value = T[1] {1.0}>(full)
            y = Concat<axis = 1>(x, zero)
        }""", absorbs=CONSTANT),
]  # fmt: skip
