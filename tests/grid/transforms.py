"""Linear transforms of whole rows."""

import numpy as np

from .row import Row, weights

ANGLES = 1e-7  # the runtime's are float32's
CANCELS = "an imaginary part is 0 and keeps its relevance"


def _dft(label: str, size: tuple[int, ...], *inputs: object, opset: int = 20, absorbs: str = "", **given: int) -> Row:
    return Row("DFT", label, (size, *inputs), given, opset=opset, absorbs=absorbs, tolerance=ANGLES)


ROWS = [
    _dft("complex", (5, 2)),
    _dft("real", (5, 1), absorbs=CANCELS),
    _dft("first axis", (4, 3, 2), None, np.array(1)),
    _dft("inverse", (5, 2), inverse=1),
    _dft("onesided", (6, 1), onesided=1, absorbs=CANCELS),
    _dft("onesided odd", (5, 1), onesided=1, absorbs=CANCELS),
    _dft("longer", (5, 2), np.array(7)),
    _dft("shorter", (5, 2), np.array(3)),
    _dft("shorter inverse", (5, 2), np.array(3), inverse=1),
    _dft("longer real onesided", (5, 1), np.array(8), onesided=1, absorbs=CANCELS),
    _dft("inverse onesided", (4, 2), inverse=1, onesided=1),
    _dft("inverse onesided odd", (4, 2), np.array(7), inverse=1, onesided=1),
    _dft("opset 17", (5, 2), opset=18, axis=1),
    _dft("opset 17 second axis", (3, 5, 1), opset=18, axis=2, absorbs=CANCELS),
    Row("RotaryEmbedding", "by position", text="""
        turned (T[2, 2, 3, 4] x) => (y) {
            c = Constant<value = T[4, 2] {0.5, 0.25, -0.5, 1.0, 0.75, 0.125, 0.5, -0.25}>()
            s = Constant<value = T[4, 2] {-0.5, 1.0, 0.25, 0.5, -0.25, 0.75, 1.0, 0.125}>()
            i = Constant<value = int64[2, 3] {0, 1, 3, 2, 0, 1}>()
            y = RotaryEmbedding(x, c, s, i)
        }""", opset=23, mixes="the positions name the samples"),
    Row("RotaryEmbedding", "by sample interleaved", text="""
        turned (T[N, 3, 8] x) => (y) {
            front = Shape<start = 0, end = 1>(x)
            rest = Constant<value = int64[2] {3, 1}>()
            full = Concat<axis = 0>(front, rest)
            c0 = Constant<value = T[1, 3, 1] {0.5, 0.25, -0.5}>()
            s0 = Constant<value = T[1, 3, 1] {-0.25, 0.5, 1.0}>()
            c = Expand(c0, full)
            s = Expand(s0, full)
            y = RotaryEmbedding<num_heads = 2, interleaved = 1, rotary_embedding_dim = 2>(x, c, s)
        }""", opset=23),
]  # fmt: skip
STEP, LENGTH = np.array(3), np.array(5)
ROWS += [
    Row("STFT", label, operands, settings, opset=opset, absorbs="" if label == "complex" else CANCELS, tolerance=ANGLES)
    for label, operands, settings, opset in (
        ("window", ((12,), STEP, weights(5, low=0.2)), {}, 18),
        ("window and length", ((13, 1), STEP, weights(5, low=0.2), LENGTH), {"onesided": 0}, 20),
        ("length alone", ((12,), STEP, None, LENGTH), {"onesided": 1}, 20),
        ("complex", ((9, 2), STEP, weights(4, low=0.2)), {"onesided": 0}, 20),
    )
]
