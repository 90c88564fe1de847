"""Sums, products, gates and powers."""

from itertools import product

import numpy as np

from .row import Again, Fixed, Row, weights

SUMMED = "an operand without a batch axis collects from all samples"
MAP, CHANNELS = (3, 4, 5), (3, 1, 1)
POSITIVE = (0.3, 3.0)

OPERANDS = {
    "two maps": (MAP, MAP),
    "broadcast second": (MAP, CHANNELS),
    "broadcast first": (CHANNELS, MAP),
    "both broadcast": ((3, 4, 1), (3, 1, 5)),
    "constant second": (MAP, weights(3, 1, 1, low=0.5)),
    "constant first": (weights(3, 1, 1, low=0.5), MAP),
    "scalar": (MAP, np.array(1.5)),
    "constant widens": (CHANNELS, weights(3, 4, 5, low=0.5)),
    "the same twice": (MAP, Again(0)),
}
MANY = {"three": (MAP, CHANNELS, MAP), "three with a constant": (MAP, weights(3, 1, 1, low=0.5), CHANNELS)}


def _rows(op: str) -> list[Row]:
    span = POSITIVE if op == "Div" else (-2.0, 2.0)
    rows = [Row(op, label, operands, span=span) for label, operands in OPERANDS.items() if _sensible(op, label)]
    return [*rows, Row(op, "no batch axis", (MAP, Fixed((4, 5))), span=span, mixes=SUMMED)]


def _sensible(op: str, label: str) -> bool:
    """The maximum of a tensor and itself has a tie everywhere."""
    return not (op in ("Max", "Min") and label == "the same twice")


ROWS = [row for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean") for row in _rows(op)]
ROWS += [Row(op, label, MANY[label]) for op, label in product(("Sum", "Max", "Min", "Mean"), MANY)]
ROWS += [Row(op, "alone", (MAP,)) for op in ("Sum", "Max", "Min", "Mean", "Neg")]
ROWS += [
    Row("Mul", "negative constant", (MAP, weights(3, 1, 1) - 1.0)),
    Row("Mul", "lower rank", (MAP, weights(5, low=0.5))),
    Row("Reciprocal", "positive", (MAP,), span=POSITIVE),
    Row("Pow", "square", (MAP, np.array(2.0))),
    Row("Pow", "cube of channels", (MAP, np.array([[[1.0]], [[2.0]], [[3.0]]]))),
    Row("Pow", "root", (MAP, np.array(0.5)), span=POSITIVE),
    Row("Pow", "inverse", (MAP, np.array(-1.5)), span=POSITIVE),
]
ROWS += [
    Row("Mul", label, text=f"""
        gated (T[N, 3, 4, 5] x) => (T[N, 3, 4, 5] y) {{ {graph} }}""", span=span)
    for label, span, graph in (
        ("silu", (-2, 2), "s = Sigmoid(x)  y = Mul(x, s)"),
        ("silu gate first", (-2, 2), "s = Sigmoid(x)  y = Mul(s, x)"),
        ("squeeze and excite", (-2, 2), "m = GlobalAveragePool(x)  s = Sigmoid(m)  y = Mul(x, s)"),
        ("spatial mean as a gate", (-2, 2), "m = GlobalAveragePool(x)  y = Mul(m, x)"),
        ("hard sigmoid", (-4, 5), "s = HardSigmoid<alpha = 0.166>(x)  y = Mul(x, s)"),
        ("gate behind a reshape", (-2, 2),
         "m = GlobalAveragePool(x)  t = Transpose<perm = [0, 2, 3, 1]>(m)  s = Softmax<axis = -1>(t)"
         "  u = Transpose<perm = [0, 3, 1, 2]>(s)  y = Mul(x, u)"),
        ("two gates", (-2, 2), "a = Sigmoid(x)  b = Softmax<axis = 1>(x)  y = Mul(a, b)"),
        ("two signals", (-2, 2), "a = Relu(x)  b = Tanh(x)  y = Mul(a, b)"),
    )
]  # fmt: skip
ROWS += [
    Row("Mod", "constant divisor", (MAP, np.array(0.71)), {"fmod": 1}),
    Row("Mod", "broadcast divisor", (MAP, weights(3, 1, 1, low=0.4)), {"fmod": 1}),
    Row("Mod", "two activations", text="""
        rest (T[N, 3] x, T[N, 1] z) => (T[N, 3] y) {
            nine = Constant<value = T[1] {9.0}>()
            four = Constant<value = T[1] {4.0}>()
            a = Add(x, nine)
            b = Add(z, four)
            y = Mod<fmod = 1>(a, b)
        }"""),
]  # fmt: skip
ROWS += [
    Row("CumProd", label, ((4, 3), np.array(axis)), settings, opset=26,
        absorbs="the product of nothing is 1" if "exclusive" in settings else "")
    for label, axis, settings in (
        ("plain", 1, {}),
        ("last axis backward", -1, {"reverse": 1}),
        ("exclusive", 1, {"exclusive": 1}),
        ("exclusive backward", 2, {"exclusive": 1, "reverse": 1}),
    )
]  # fmt: skip
