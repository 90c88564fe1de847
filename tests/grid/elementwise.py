"""Activations, normalisations, and what hands values on."""

import numpy as np

from .row import DTYPE, Row, weights

MAP = (3, 4, 5)
POSITIVE, WIDE = (0.3, 3.0), (-5.0, 5.0)
ROUNDING = "rounding has no derivative: the gradient passes straight through"

PLAIN = ("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "Erf", "Exp",
         "Abs", "ThresholdedRelu", "Identity", "Dropout", "Sin", "Cos", "Atan", "Sinh", "Cosh",
         "Asinh")  # fmt: skip


def _row(op: str, label: str = "plain", *constants: object, span=(-2.0, 2.0), opset=18, **attributes: object) -> Row:
    return Row(op, label, (MAP, *constants), attributes, span=span, opset=opset)


def _batch_norm(label: str, size: tuple[int, ...], **attributes: float) -> Row:
    parameters = [weights(size[0], seed=i) for i in range(3)] + [weights(size[0], seed=3, low=0.2)]
    return Row("BatchNormalization", label, (size, *parameters), attributes)


ROWS = [_row(op) for op in PLAIN]
ROWS += [_row(op, "wide", span=WIDE) for op in ("HardSigmoid", "Relu", "Elu", "Softplus", "Mish")]
ROWS += [Row("HardSwish", "wide", (MAP,), span=WIDE, tolerance=1e-8)]  # the runtime's sixth is float32's
ROWS += [_row(op, "positive", span=POSITIVE) for op in ("Log", "Sqrt")]
ROWS += [_row("Tan", "inside", span=(-0.8, 0.8))]
ROWS += [
    Row(op, f"behind {first}", text=f"inside (T[N, 3, 4] x) => (T[N, 3, 4] y) {{ t = {first}(x)  y = {op}(t) }}")
    for op, first in (("Asin", "Tanh"), ("Acos", "Tanh"), ("Atanh", "Softsign"), ("Acosh", "Cosh"))
]
ROWS += [
    Row("Shrink", "plain", (MAP,), tolerance=1e-4),  # the runtime's is float32 within
    Row("Shrink", "lambd bias", (MAP,), {"lambd": 0.9, "bias": 0.3}, tolerance=1e-4),
    _row("Swish", "plain", opset=24),
    _row("Swish", "alpha", opset=24, alpha=1.7),
    _row("LeakyRelu", "alpha", alpha=0.3),
    _row("Elu", "alpha", alpha=0.7),
    _row("Celu", "alpha", alpha=1.7),
    _row("Selu", "alpha gamma", alpha=1.2, gamma=0.8),
    _row("HardSigmoid", "alpha beta", alpha=0.4, beta=0.3, span=WIDE),
    _row("ThresholdedRelu", "alpha", alpha=0.6),
    _row("Gelu", "exact", opset=20),
    Row("Gelu", "tanh", (MAP,), {"approximate": "tanh"}, opset=20, tolerance=1e-8),  # likewise its 0.044715
    _row("Clip", "unbounded"),
    _row("Clip", "relu6", np.array(0.0), np.array(6.0), span=(-5.0, 9.0)),
    _row("Clip", "lower", np.array(-0.5)),
    _row("Clip", "upper", None, np.array(0.7)),
    Row("Clip", "opset 6", (MAP,), {"min": -0.5, "max": 0.9}, opset=6),
    _row("PRelu", "per channel", weights(3, 1, 1)),
    _row("PRelu", "one slope", np.array([0.2])),
    Row("PRelu", "computed slope", (MAP, (3, 1, 1))),
    _row("Softmax", "last axis"),
    _row("Softmax", "channels", axis=1),
    _row("Softmax", "negative axis", axis=-2),
    _row("Softmax", "opset 11 flattens", opset=11, axis=2),
    Row("Softmax", "logits", ((7,),)),
    _row("LogSoftmax", "last axis"),
    _row("LogSoftmax", "channels", axis=1),
    _row("Cast", "same", to=DTYPE),
    Row("CastLike", "same", (MAP, weights(1))),
]
ROWS += [
    _batch_norm("images", MAP),
    _batch_norm("epsilon", MAP, epsilon=0.1),
    _batch_norm("vectors", (6,)),
    _batch_norm("1-D", (4, 5)),
    _batch_norm("3-D", (2, 3, 2, 2)),
    _row("LRN", "size 3", size=3, alpha=0.5),
    Row("LRN", "size 5 beta bias", ((6, 2, 3),), {"size": 5, "alpha": 0.8, "beta": 0.6, "bias": 2.0}),
    Row("LRN", "window wider than the channels", ((2, 3, 3),), {"size": 7, "alpha": 0.9}),
]


def _quantised(domain: str, label: str, opset: int) -> Row:
    prefix = f"{domain}." if domain else ""
    scale, zero = "scale = Constant<value = float {0.05}>()", "zero = Constant<value = uint8 {100}>()"
    imports = f', "{domain}" : 1' if domain else ""
    return Row("QuantizeLinear", label, rounds=ROUNDING, text=f"""<ir_version: 8, opset_import: ["" : {opset}{imports}]>
        rounded (float[N, 3, 4, 5] x) => (float[N, 3, 4, 5] y) {{
            {scale}  {zero}
            q = {prefix}QuantizeLinear(x, scale, zero)
            y = {prefix}DequantizeLinear(q, scale, zero)
        }}""")  # fmt: skip


ROWS += [
    _quantised("", "pair", 18),
    _quantised("", "pair opset 13", 13),
    _quantised("com.microsoft", "contrib pair", 18),
]
