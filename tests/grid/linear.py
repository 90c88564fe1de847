"""Conv, Gemm and MatMul."""

import numpy as np

from .row import Row, weights

PADDED = "windows that lie in the padding see nothing"

# label: channels, size, filters, kernel, attributes
CONVS = {
    "3x3": (3, (6, 5), 4, (3, 3), {}),
    "3x3 same": (3, (6, 5), 4, (3, 3), {"pads": [1, 1, 1, 1]}),
    "stride 2": (3, (7, 6), 4, (3, 3), {"strides": [2, 2]}),
    "stride 2 rows uncovered": (3, (8, 6), 4, (3, 3), {"strides": [2, 2]}),
    "stride 3 kernel 2 leaves gaps": (2, (9, 8), 3, (2, 2), {"strides": [3, 3]}),
    "stride 4 kernel 1 leaves gaps": (2, (7, 10), 3, (1, 1), {"strides": [4, 4]}),
    "stride 4 kernel 3 far end uncovered": (2, (10, 9), 3, (3, 3), {"strides": [4, 4], "pads": [1, 0, 0, 1]}),
    "strides 2 1": (2, (7, 6), 3, (3, 2), {"strides": [2, 1]}),
    "kernel 7 stride 4 asymmetric": (2, (13, 12), 2, (7, 5), {"strides": [4, 3], "pads": [3, 2, 2, 0]}),
    "dilation 2": (2, (8, 8), 3, (3, 3), {"dilations": [2, 2]}),
    "dilations 2 3 pads": (2, (8, 9), 3, (3, 2), {"dilations": [2, 3], "pads": [2, 1, 1, 3]}),
    "dilation 2 stride 2": (2, (9, 8), 3, (3, 3), {"dilations": [2, 2], "strides": [2, 2], "pads": [2, 2, 2, 2]}),
    "dilation 3 stride 2": (2, (10, 9), 2, (2, 3), {"dilations": [3, 2], "strides": [2, 2], "pads": [0, 1, 2, 0]}),
    "asymmetric pads": (3, (6, 5), 4, (3, 3), {"pads": [0, 2, 1, 0]}),
    "groups 2": (4, (6, 5), 6, (3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "groups 2 stride 2": (4, (6, 7), 2, (3, 3), {"group": 2, "strides": [2, 2]}),
    "depthwise": (4, (6, 5), 4, (3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "depthwise multiplier 2 stride 2": (3, (7, 7), 6, (3, 3), {"group": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "same upper stride 2": (3, (7, 6), 4, (3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower stride 2": (3, (7, 6), 4, (3, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "same upper even kernel": (2, (5, 6), 3, (4, 2), {"auto_pad": "SAME_UPPER"}),
    "same lower even kernel": (2, (5, 6), 3, (4, 2), {"auto_pad": "SAME_LOWER"}),
    "same upper stride 3 kernel 2": (2, (8, 7), 3, (2, 2), {"auto_pad": "SAME_UPPER", "strides": [3, 3]}),
    "valid": (2, (6, 5), 3, (3, 3), {"auto_pad": "VALID", "strides": [2, 1]}),
    "1x1": (4, (4, 5), 3, (1, 1), {}),
    "1x1 stride 2": (4, (5, 6), 3, (1, 1), {"strides": [2, 2]}),
    "1x1 groups": (4, (4, 5), 2, (1, 1), {"group": 2}),
    "1x1 padded": (4, (3, 4), 3, (1, 1), {"pads": [1, 0, 0, 1]}),
    "1x3": (3, (4, 6), 3, (1, 3), {"pads": [0, 1, 0, 1]}),
    "kernel as large as the map": (3, (4, 5), 4, (4, 5), {}),
    "kernel larger than the map": (2, (3, 4), 3, (5, 5), {"pads": [2, 2, 2, 2]}),
    "1-D": (3, (9,), 4, (3,), {"strides": [2], "pads": [1, 0]}),
    "1-D dilation": (2, (11,), 3, (3,), {"dilations": [3]}),
    "1-D stride leaves gaps": (2, (12,), 3, (2,), {"strides": [5]}),
    "3-D": (2, (4, 5, 4), 3, (3, 2, 3), {"strides": [1, 2, 1], "pads": [1, 0, 1, 1, 1, 0]}),
    "3-D groups dilation": (4, (5, 4, 5), 2, (2, 2, 2), {"group": 2, "dilations": [2, 1, 3]}),
    "3-D 1x1x1": (3, (2, 3, 2), 2, (1, 1, 1), {}),
}  # fmt: skip
ON_THE_IMAGE = ("3x3 same", "stride 2 rows uncovered", "stride 3 kernel 2 leaves gaps", "dilations 2 3 pads",
                "groups 2", "depthwise multiplier 2 stride 2", "same lower stride 2", "1x1", "1-D", "3-D")  # fmt: skip


def _conv(label: str, hidden: bool) -> Row:
    channels, size, filters, kernel, attributes = CONVS[label]
    weight = weights(filters, channels // attributes.get("group", 1), *kernel)
    bias = (weights(filters, seed=1),) if "pads" in attributes else ()
    where = "" if hidden else " on the image"
    absorbs = PADDED if label == "1x1 padded" else ""
    operands = ((channels, *size), weight, *bias)
    return Row("Conv", label + where, operands, attributes, hidden=hidden, absorbs=absorbs)


def _gemm(label: str, weight: np.ndarray, *bias: np.ndarray, hidden: bool = True, **attributes: float) -> Row:
    return Row("Gemm", label, ((6,), weight, *bias), attributes, hidden=hidden)


def _matmul(label: str, *operands: object, hidden: bool = False, **more: str) -> Row:
    return Row("MatMul", label, operands, hidden=hidden, **more)


GEMMS = [
    _gemm("transB", weights(4, 6), weights(4, seed=1), transB=1),
    _gemm("transB on the image", weights(4, 6), weights(4, seed=1), transB=1, hidden=False),
    _gemm("plain", weights(6, 4)),
    _gemm("plain on the image", weights(6, 4), hidden=False),
    _gemm("alpha beta", weights(6, 4), weights(4, seed=1), alpha=0.5, beta=2.0),
    _gemm("alpha on the image", weights(4, 6), weights(1, 4, seed=1), alpha=-1.5, beta=0.0, transB=1, hidden=False),
]  # fmt: skip

MATMULS = [
    _matmul("2-D", (6,), weights(6, 4), hidden=True),
    _matmul("2-D on the image", (6,), weights(6, 4)),
    _matmul("tokens", (5, 6), weights(6, 4), hidden=True),
    _matmul("tokens on the image", (5, 6), weights(6, 4)),
    _matmul("channels last", (3, 2, 6), weights(6, 4), hidden=True),
    _matmul("stacked weights", (2, 3, 6), weights(2, 6, 4), hidden=True),
    _matmul("stacked weights on the image", (2, 3, 6), weights(2, 6, 4)),
    _matmul("stacked weights broadcast", (1, 3, 6), weights(2, 6, 4), hidden=True),
    _matmul("two activations", (4, 5), (5, 3)),
    _matmul("two activations with heads", (2, 4, 5), (2, 5, 3), hidden=True),
    _matmul("left activation broadcast", (1, 4, 5), (2, 5, 3)),
    _matmul("right activation broadcast", (2, 4, 5), (1, 5, 3)),
    _matmul("constant left", weights(4, 5), (5, 3), hidden=True),
    _matmul("constant left flat", weights(4, 5, low=0.1), (2, 5, 3)),
    Row("MatMul", "attention", text="""
        attention (T[N, 2, 3, 4] q, T[N, 2, 4, 3] k, T[N, 2, 3, 4] v) => (T[N, 2, 3, 4] y) {
            scores = MatMul(q, k)
            share = Softmax<axis = -1>(scores)
            y = MatMul(share, v)
        }"""),
]  # fmt: skip

# one image at a time: x [1, C, *size] and the weights it is convolved with, [O, C/group, *kernel]
MADE = {
    "plain": ("3, 5, 4", "4, 3, 3, 2", ""),
    "pads strides": ("2, 6, 5", "4, 2, 3, 3", "<pads = [1, 0, 1, 1], strides = [2, 1]>"),
    "groups dilations": ("4, 6, 5", "6, 2, 2, 2", "<group = 2, dilations = [2, 1]>"),
    "pointwise": ("4, 3, 2", "3, 4, 1, 1", ""),
    "1-D": ("3, 7", "2, 3, 3", "<strides = [2]>"),
}
BY_THE_IMAGE = [
    Row("Conv", f"weights from the image, {label}", text=f"""
        made (T[1, {size}] x, T[1, {kernel}] v, T[1, {kernel.split(",")[0]}] u) => (y) {{
            shape = Constant<value = int64[{kernel.count(",") + 1}] {{{kernel}}}>()
            w = Reshape(v, shape)
            line = Constant<value = int64[1] {{-1}}>()
            b = Reshape(u, line)
            h = Relu(x)
            y = Conv{settings}(h, w, b)
        }}""", mixes="one image at a time")
    for label, (size, kernel, settings) in MADE.items()
]  # fmt: skip

ROWS = [_conv(label, True) for label in CONVS] + [_conv(label, False) for label in ON_THE_IMAGE] + GEMMS + MATMULS
ROWS += BY_THE_IMAGE
