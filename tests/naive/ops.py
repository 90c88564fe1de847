"""Forward values in torch float64, one small function per op; shape arithmetic is onnx.reference's."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as nnf
from onnx.reference import ReferenceEvaluator

from .table import OPS, Tensor, attributes, ints, op
from .windows import padded  # importing it also registers convolution and pooling

Inputs = Sequence[Tensor | None]


def compute(node: onnx.NodeProto, inputs: Inputs, opset: int) -> tuple[Tensor, ...]:
    """Outputs of one node."""
    if node.op_type not in OPS:
        return by_reference(node, inputs, opset)
    keywords = {"count": len(node.output)} if node.op_type == "Split" else {}
    got = OPS[node.op_type](*inputs, **attributes(node), **keywords)
    return tuple(got) if isinstance(got, (tuple, list)) else (got,)


def by_reference(node: onnx.NodeProto, inputs: Inputs, opset: int) -> tuple[Tensor, ...]:
    """Let onnx.reference compute what no gradient is asked of: constants and shapes."""
    made = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in dict.fromkeys(node.input) if n]
    outputs = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in node.output if n]
    graph = onnx.helper.make_graph([node], "one", made, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    feeds = {n: x.detach().numpy() for n, x in zip(node.input, inputs, strict=True) if x is not None}
    tensors = [torch.from_numpy(np.array(y)) for y in ReferenceEvaluator(model).run(None, feeds)]
    return tuple(t.double() if t.is_floating_point() else t for t in tensors)


# ---- dense layers and normalisations ----


@op("Gemm")
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    y = alpha * (a.mT if transA else a) @ (b.mT if transB else b)
    return y if c is None else y + beta * c


OPS["MatMul"] = torch.matmul


def along_channels(p: Tensor, x: Tensor) -> Tensor:
    """A per-channel vector shaped to meet N×C×…"""
    return p.reshape(-1, *[1] * (x.ndim - 2))


@op("BatchNormalization")
def batch_norm(
    x: Tensor, scale: Tensor, b: Tensor, mean: Tensor, var: Tensor, epsilon: float = 1e-5, **_: Any
) -> Tensor:
    s, o, m, v = (along_channels(p, x) for p in (scale, b, mean, var))
    return (x - m) / torch.sqrt(v + epsilon) * s + o


@op("LayerNormalization")
def layer_norm(
    x: Tensor, scale: Tensor, b: Tensor | None = None, axis: int = -1, epsilon: float = 1e-5, **_: Any
) -> Tensor:
    return nnf.layer_norm(x, x.shape[axis:], scale, b, epsilon)


@op("LRN")
def lrn(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """Divide by (bias + alpha/size · sum of squares over `size` neighbouring channels)^beta."""
    squares = nnf.pad((x * x).movedim(1, -1), ((size - 1) // 2, size // 2)).unfold(-1, size, 1).sum(-1)
    return x / (bias + alpha / size * squares.movedim(-1, 1)) ** beta


# ---- elementwise ----

OPS.update({
    "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Erf": torch.erf, "Exp": torch.exp,
    "Sqrt": torch.sqrt, "Neg": torch.neg, "Abs": torch.abs, "Identity": torch.Tensor.clone,
    "Softplus": nnf.softplus, "Softsign": nnf.softsign, "Mish": nnf.mish,
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "Sum": lambda *xs: sum(xs),
    "Max": lambda *xs: torch.stack(torch.broadcast_tensors(*xs)).amax(0),
    "Min": lambda *xs: torch.stack(torch.broadcast_tensors(*xs)).amin(0),
    "LeakyRelu": lambda x, alpha=0.01: torch.where(x < 0, alpha * x, x),
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
    "Elu": lambda x, alpha=1.0: torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0)), x),
    "Celu": lambda x, alpha=1.0: nnf.celu(x, alpha),
    "Selu": lambda x, alpha=1.67326319, gamma=1.05070102: gamma
    * torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0)), x),
    "Gelu": lambda x, approximate="none": nnf.gelu(x, approximate=approximate),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
    "HardSwish": lambda x: x * (x / 6 + 0.5).clamp(0, 1),
    "ThresholdedRelu": lambda x, alpha=1.0: torch.where(x > alpha, x, 0.0),
    "Dropout": lambda x, *_, **__: x.clone(),
    "Softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "LogSoftmax": lambda x, axis=-1: torch.log_softmax(x, axis),
})  # fmt: skip


@op("Clip")
def clip(x: Tensor, low: Any = None, high: Any = None, min: Any = None, max: Any = None) -> Tensor:
    low, high = (min if low is None else low), (max if high is None else high)
    x = x if low is None else torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
    return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))


@op("Div")
def div(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@op("Cast")
def cast(x: Tensor, to: int, **_: Any) -> Tensor:
    """Every kind of float is float64 here."""
    kind = onnx.helper.tensor_dtype_to_np_dtype(to)
    integer = kind.kind in "iub"
    return x.to(torch.from_numpy(np.zeros(0, kind)).dtype) if integer else x.double()


# ---- movement: nothing is computed, values change place ----


@op("Reshape")
def reshape(x: Tensor, shape: Tensor, allowzero: int = 0) -> Tensor:
    sizes = [x.shape[i] if s == 0 and not allowzero else s for i, s in enumerate(ints(shape) or [])]
    return x.reshape(sizes)


@op("Flatten")
def flatten(x: Tensor, axis: int = 1) -> Tensor:
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@op("Squeeze")
def squeeze(x: Tensor, given: Tensor | None = None, axes: Any = None) -> Tensor:
    where = ints(given if given is not None else axes)
    return x.squeeze() if where is None else x.squeeze(tuple(where))


@op("Unsqueeze")
def unsqueeze(x: Tensor, given: Tensor | None = None, axes: Any = None) -> Tensor:
    where = ints(given if given is not None else axes) or []
    rank = x.ndim + len(where)
    for axis in sorted(a % rank for a in where):
        x = x.unsqueeze(axis)
    return x


@op("Transpose")
def transpose(x: Tensor, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(*(perm or range(x.ndim)[::-1]))


@op("Concat")
def concat(*xs: Tensor, axis: int) -> Tensor:
    return torch.cat(xs, axis)


@op("Split")
def split(
    x: Tensor, given: Tensor | None = None, axis: int = 0, split: Any = None, count: int = 1, **_: Any
) -> list[Tensor]:
    size = ceil(x.shape[axis] / count)
    sizes = ints(given if given is not None else split)
    return list(x.split(sizes if sizes is not None else size, axis))


@op("Slice")
def slice_(x: Tensor, *given: Tensor, starts: Any = None, ends: Any = None, axes: Any = None) -> Tensor:
    parts = [ints(g) for g in given] or [ints(starts), ints(ends), ints(axes)]
    first, last = parts[0] or [], parts[1] or []
    where = (parts[2] if len(parts) > 2 else None) or list(range(len(first)))
    steps = (parts[3] if len(parts) > 3 else None) or [1] * len(first)
    for axis, start, stop, step in zip(where, first, last, steps, strict=True):
        positions = range(x.shape[axis])[slice(start, None if step < 0 and stop < -x.shape[axis] else stop, step)]
        x = x.index_select(axis, torch.tensor(list(positions), dtype=torch.int64))
    return x


@op("Gather")
def gather(x: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    axis %= x.ndim
    taken = x.index_select(axis, index.flatten().long() % x.shape[axis])
    return taken.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


@op("Pad")
def pad(
    x: Tensor,
    given: Tensor | None = None,
    fill: Any = None,
    where: Tensor | None = None,
    pads: Any = None,
    value: float = 0.0,
    mode: str = "constant",
) -> Tensor:
    amounts = ints(given if given is not None else pads) or []
    chosen = [a % x.ndim for a in ints(where) or range(x.ndim)]
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(chosen):
        before[axis], after[axis] = amounts[i], amounts[i + len(chosen)]
    if mode == "constant":
        return padded(x, before, after, float(value if fill is None else fill))
    index = [np.pad(np.arange(s), (b, a), mode) for s, b, a in zip(x.shape, before, after, strict=True)]
    return x[np.ix_(*index)]


@op("Expand")
def expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(ints(shape) or [])))


@op("DepthToSpace")
def depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        x = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // b**2, h * b, w * b)
