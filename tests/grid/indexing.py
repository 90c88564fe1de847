"""Ops that pick, place and rearrange entries."""

import numpy as np

from .row import Again, Fixed, Row, weights

MAP = (3, 4, 5)
CONSTANT = "what belongs to a constant part is absorbed"
NOTHING = "a sum of nothing keeps its relevance"
ZEROED = "what was set to zero keeps its relevance"

MASK = np.random.default_rng(0).random((4, 5)) < 0.5


def _text(op: str, label: str, body: str, *inputs: str, result: str = "", **more: str) -> Row:
    """Return a row whose indices have the batch's own size: [N, ...], expanded from one sample's."""
    given = ", ".join(f"T[N, {sizes}] x{i}" for i, sizes in enumerate(inputs))
    y = f"T[N, {result}] y" if result else "y"
    front = "front = Shape<start = 0, end = 1>(x0)"
    return Row(op, label, text=f"picked ({given}) => ({y}) {{ {front}\n{body} }}", **more)


def _indices(sizes: str, values: str) -> str:
    """Write the nodes that make ``i``: these values once per sample."""
    count = sizes.count(",") + 1
    return f"""
        one = Constant<value = int64[1, {sizes}] {{{values}}}>()
        rest = Constant<value = int64[{count}] {{{sizes}}}>()
        full = Concat<axis = 0>(front, rest)
        i = Expand(one, full)"""


def _topk(label: str, sizes: str, **given: int) -> Row:
    settings = f"<{', '.join(f'{name} = {v}' for name, v in given.items())}>" if given else ""
    return Row(
        "TopK",
        label,
        text=f"""
        best (T[N, {sizes}] x) => (y) {{
            k = Constant<value = int64[1] {{2}}>()
            y, i = TopK{settings}(x, k)
        }}""",
    )


VALUES = "the two values have no batch axis"
IDS, DEPTH = np.array([[0, 2], [1, 1], [2, 0]]), np.array(3)

ROWS = [
    Row("OneHot", "values", (IDS, DEPTH, Fixed((2,))), mixes=VALUES),
    Row("OneHot", "values, another axis", (IDS, DEPTH, Fixed((2,))), {"axis": 1}, mixes=VALUES),
    Row("DepthToSpace", "default", ((8, 2, 3),), {"blocksize": 2}),
    Row("DepthToSpace", "CRD", ((18, 2, 3),), {"blocksize": 3, "mode": "CRD"}),
    Row("DepthToSpace", "CRD two channels", ((8, 2, 3),), {"blocksize": 2, "mode": "CRD"}),
    Row("SpaceToDepth", "2", ((3, 4, 6),), {"blocksize": 2}),
    Row("SpaceToDepth", "3", ((2, 6, 3),), {"blocksize": 3}),
    _text("GatherElements", "tokens", _indices("2, 3", "2, 0, 1, -1, 2, 1") + "y = GatherElements<axis = 1>(x0, i)",
          "4, 3"),
    _text("GatherElements", "repeats", _indices("4, 2", "2, 2, 0, 0, 1, 0, 1, -1")
          + "y = GatherElements<axis = -1>(x0, i)", "4, 3"),
    _text("GatherND", "batch dims", _indices("2, 2", "2, 0, 1, -1") + "y = GatherND<batch_dims = 1>(x0, i)", "4, 3"),
    _text("GatherND", "rows", _indices("3, 1", "2, 0, 2") + "y = GatherND<batch_dims = 1>(x0, i)", "4, 3",
          result="3, 3"),
    _topk("last axis", "3, 5"),
    _topk("smallest of channels", "3, 4, 5", axis=1, largest=0),
    _topk("unsorted", "3, 5", axis=2, sorted=0),
    _text("ScatterElements", "none", _indices("1, 3", "2, 0, 1") + "y = ScatterElements<axis = 1>(x0, i, x1)",
          "4, 3", "1, 3"),
    _text("ScatterElements", "add", _indices("2, 3", "2, 0, 1, 2, -1, 1")
          + 'y = ScatterElements<axis = 1, reduction = "add">(x0, i, x1)', "4, 3", "2, 3"),
    _text("ScatterElements", "constant updates", _indices("1, 3", "2, 0, 1") + """
        zero = Constant<value = T[1] {0.0}>()
        u = Expand(zero, full)
        y = ScatterElements<axis = 1>(x0, i, u)""", "4, 3", absorbs=CONSTANT),
    Row("Where", "two maps", (MASK, MAP, MAP)),
    Row("Where", "constant second", (MASK, MAP, np.array(0.5)), absorbs=CONSTANT),
    Row("Where", "constant first", (MASK[:1], weights(5), MAP), absorbs=CONSTANT),
    Row("Where", "broadcast", (MASK, (3, 1, 1), (1, 4, 5))),
    Row("Where", "condition widens", (MASK, (3, 1, 1), MAP)),
    Row("Where", "run-time condition", text="""
        chosen (T[N, 3, 4, 5] x, T[N, 3, 4, 5] z) => (y) { c = Greater(x, z)  y = Where(c, x, z) }"""),
    Row("Where", "twice the same", (MASK, MAP, Again(1))),
    Row("Trilu", "upper", ((3, 4, 4),), absorbs=ZEROED),
    Row("Trilu", "lower k", ((3, 4, 5), np.array(1)), {"upper": 0}, absorbs=ZEROED),
    Row("CumSum", "tokens", ((4, 3), np.array(1))),
    Row("CumSum", "reverse", ((4, 3), np.array(-1)), {"reverse": 1}),
    Row("CumSum", "exclusive", ((4, 3), np.array(2)), {"exclusive": 1}, absorbs=NOTHING),
    Row("CumSum", "exclusive reverse", ((4, 3), np.array(1)), {"exclusive": 1, "reverse": 1}, absorbs=NOTHING),
]  # fmt: skip
FIXED = "the indices name the samples"
ROWS += [
    Row("ScatterND", label, text=f"""
        placed (T[2, 4, 3] x, T[2, 3] z) => (y) {{
            i = Constant<value = int64[2, 2] {{0, 2, 1, 0}}>()
            y = ScatterND{settings}(x, i, z)
        }}""", mixes=FIXED)
    for label, settings in (("none", ""), ("add", '<reduction = "add">'))
]  # fmt: skip
ROWS += [
    Row("GatherND", "constant", text="""
        picked (T[2, 4, 3] x) => (y) {
            i = Constant<value = int64[3, 2] {0, 2, 1, 0, 0, 2}>()
            y = GatherND(x, i)
        }""", mixes=FIXED),
    Row("GatherElements", "constant", text="""
        picked (T[2, 4, 3] x) => (y) {
            i = Constant<value = int64[2, 1, 3] {0, 2, 1, 0, 0, 2}>()
            y = GatherElements<axis = 1>(x, i)
        }""", mixes=FIXED),
]  # fmt: skip
ROWS += [
    Row("Compress", "channels", (MAP, np.array([True, False, True])), {"axis": 1}),
    Row("Compress", "last axis", (MAP, np.array([False, True, True, False, True])), {"axis": -1}),
    Row("Compress", "shorter condition", (MAP, np.array([True, False])), {"axis": 2}),
    Row("Compress", "flat", text="""
        kept (T[2, 3] x) => (y) {
            c = Constant<value = bool[6] {1, 0, 1, 1, 0, 0}>()
            y = Compress(x, c)
        }""", mixes=FIXED),
    Row("MaxUnpool", "behind MaxPool", text="""
        unpooled (T[N, 2, 4, 6] x) => (y) {
            p, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
            y = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(p, i)
        }""", absorbs=ZEROED),
    Row("MaxUnpool", "1-D", text="""
        unpooled (T[N, 3, 6] x) => (y) {
            p, i = MaxPool<kernel_shape = [3], strides = [3]>(x)
            y = MaxUnpool<kernel_shape = [3], strides = [3]>(p, i)
        }""", absorbs=ZEROED),
    Row("ReverseSequence", "tokens", text="""
        turned (T[2, 4, 3] x) => (y) {
            lengths = Constant<value = int64[2] {3, 2}>()
            y = ReverseSequence<time_axis = 1, batch_axis = 0>(x, lengths)
        }""", mixes="the lengths name the samples"),
    Row("ReverseSequence", "time first", text="""
        turned (T[3, 4, 2] x) => (y) {
            lengths = Constant<value = int64[3] {4, 1, 3}>()
            t = Transpose<perm = [1, 0, 2]>(x)
            u = ReverseSequence(t, lengths)
            y = Transpose<perm = [1, 0, 2]>(u)
        }""", mixes="the lengths name the samples"),
    Row("ReverseSequence", "run-time lengths", text="""
        turned (T[N, 4, 3] x) => (y) {
            front = Shape<start = 0, end = 1>(x)
            three = Constant<value = int64 {3}>()
            lengths = Expand(three, front)
            y = ReverseSequence<time_axis = 1, batch_axis = 0>(x, lengths)
        }"""),
    Row("TensorScatter", "linear", text="""
        written (T[2, 2, 4, 3] x, T[2, 2, 2, 3] z) => (y) {
            i = Constant<value = int64[2] {1, 2}>()
            y = TensorScatter(x, z, i)
        }""", opset=24, mixes=FIXED),
    Row("TensorScatter", "circular", text="""
        written (T[2, 4, 3] x, T[2, 3, 3] z) => (y) {
            i = Constant<value = int64[2] {2, 3}>()
            y = TensorScatter<mode = "circular", axis = 1>(x, z, i)
        }""", opset=24, mixes=FIXED),
    Row("TensorScatter", "from the start", text="""
        written (T[N, 4, 3] x, T[N, 2, 3] z) => (y) { y = TensorScatter(x, z) }""", opset=24),
]  # fmt: skip
