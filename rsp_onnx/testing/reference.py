"""Running models in float64 for the test kit, with kernels for what ONNX Runtime's CPU has in float32 only.

They stand in for those of ``onnx.reference`` 1.23, which is wrong for LRN, for a grouped ConvTranspose with several
filters per group, for AveragePool's last windows under ceil_mode, for GlobalMaxPool but in 2-D and for Mean with
broadcasting; its Erf is float32. ``tests/test_rules_grid.py`` holds them against ONNX Runtime in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_grid_sample import GridSample as ReferenceGridSample

Array: TypeAlias = "NDArray[np.floating[Any]]"
Sizes: TypeAlias = "Sequence[int]"
Runner: TypeAlias = "Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]"


def _out_and_before(n: int, k: int, s: int, d: int, pads: tuple[int, int], auto_pad: str, ceil: int) -> tuple[int, int]:
    """Return how many windows fit on one axis, and the padding before it."""
    span = (k - 1) * d + 1
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        out = -(-n // s)
        need = max((out - 1) * s + span - n, 0)
        return out, need // 2 if auto_pad == "SAME_UPPER" else need - need // 2
    before, after = (0, 0) if auto_pad == "VALID" else pads
    room = n + before + after - span
    out = (-(-room // s) if ceil else room // s) + 1
    if ceil and (out - 1) * s >= n + before:  # no window begins in the padding behind
        out -= 1
    return out, before


def _taps(
    x: Array, kernel: Sizes, s: Sizes, d: Sizes, before: Sizes, out: Sizes
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For every kernel entry, what it reads at every output position: [N, C, *out]; zeros in the padding."""
    ends = [(o - 1) * t + (k - 1) * e + 1 for o, t, k, e in zip(out, s, kernel, d, strict=True)]
    after = [max(e - b - n, 0) for e, b, n in zip(ends, before, x.shape[2:], strict=True)]
    wide = np.pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)])
    for entry in product(*map(range, kernel)):
        rows = zip(entry, d, out, s, strict=True)
        yield entry, wide[_at((slice(e * t, e * t + (o - 1) * u + 1, u) for e, t, o, u in rows))]


def _at(places: Iterable[int | slice]) -> Any:
    """Index the last axes."""
    return (Ellipsis, *places)


def _pairs(pads: Sizes | None, n: int) -> list[tuple[int, int]]:
    return [(pads[i], pads[i + n]) for i in range(n)] if pads else [(0, 0)] * n


class Conv(OpRun):
    """Convolution, one product per kernel entry."""

    def _run(self, x: Array, w: Array, b: Array | None = None, **given: Any) -> tuple[Array]:
        n, kernel, group = x.ndim - 2, w.shape[2:], given["group"] or 1
        s, d = given["strides"] or [1] * n, given["dilations"] or [1] * n
        pads, mode = _pairs(given["pads"], n), given["auto_pad"] or "NOTSET"
        found = [_out_and_before(*row, mode, 0) for row in zip(x.shape[2:], kernel, s, d, pads, strict=True)]
        out, before = zip(*found, strict=True)
        weight = w.reshape(group, -1, *w.shape[1:])
        y = np.zeros((len(x), group, w.shape[0] // group, int(np.prod(out))))
        for entry, read in _taps(x, kernel, s, d, before, out):
            columns = read.reshape(len(x), group, w.shape[1], -1)
            y += np.matmul(weight[_at(entry)], columns)
        y = y.reshape(len(x), w.shape[0], *out)
        return (y if b is None else y + b.reshape(-1, *[1] * n),)


class ConvTranspose(OpRun):
    """Transposed convolution, without auto_pad and output_shape."""

    def _run(self, x: Array, w: Array, b: Array | None = None, **given: Any) -> tuple[Array]:
        n, kernel, group = x.ndim - 2, w.shape[2:], given["group"] or 1
        s, d = given["strides"] or [1] * n, given["dilations"] or [1] * n
        pads, extra = _pairs(given["pads"], n), given["output_padding"] or [0] * n
        assert given["output_shape"] is None and (given["auto_pad"] or "NOTSET") == "NOTSET"
        rows = list(zip(x.shape[2:], s, kernel, d, extra, strict=True))
        full = np.zeros((len(x), group * w.shape[1], *((i - 1) * t + (k - 1) * e + 1 + o for i, t, k, e, o in rows)))
        columns = x.reshape(len(x), group, -1, int(np.prod(x.shape[2:])))
        weight = w.reshape(group, -1, *w.shape[1:])
        for entry in product(*map(range, kernel)):
            add = np.matmul(weight[_at(entry)].swapaxes(1, 2), columns)
            at = (slice(e * q, e * q + (i - 1) * t + 1, t) for e, (i, t, _, q, _) in zip(entry, rows, strict=True))
            full[_at(at)] += add.reshape(len(x), -1, *x.shape[2:])
        y = full[_at((slice(p, size - q) for (p, q), size in zip(pads, full.shape[2:], strict=True)))]
        return (y if b is None else y + b.reshape(-1, *[1] * n),)


class AveragePool(OpRun):
    """Average pooling; with count_include_pad the file's padding counts, what ceil_mode adds behind it does not."""

    def _run(self, x: Array, **given: Any) -> tuple[Array]:
        kernel, n = given["kernel_shape"], x.ndim - 2
        s, d = given["strides"] or [1] * n, given.get("dilations") or [1] * n
        pads, mode = _pairs(given["pads"], n), given["auto_pad"] or "NOTSET"
        rows = zip(x.shape[2:], kernel, s, d, pads, strict=True)
        out, before = zip(*(_out_and_before(*row, mode, given["ceil_mode"] or 0) for row in rows), strict=True)
        total = np.sum([read for _, read in _taps(x, kernel, s, d, before, out)], axis=0)
        counted = np.ones((1, 1, *x.shape[2:]))
        if given["count_include_pad"]:
            if mode.startswith("SAME"):
                pads = list(zip(before, kernel, strict=True))  # behind, more than enough
            counted, before = np.pad(counted, [(0, 0), (0, 0), *pads], constant_values=1.0), (0,) * n
        return (total / np.sum([read for _, read in _taps(counted, kernel, s, d, before, out)], axis=0),)


class LRN(OpRun):
    """Local response normalisation over channels."""

    def _run(self, x: Array, *, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        low, high = (size - 1) // 2, size // 2
        wide = np.pad(x**2, [(0, 0), (low, high)] + [(0, 0)] * (x.ndim - 2))
        squares = sum(wide[:, k : k + x.shape[1]] for k in range(size))
        return (x / (float(bias) + float(alpha) / size * squares) ** float(beta),)


class GlobalMaxPool(OpRun):
    """The maximum over all spatial axes."""

    def _run(self, x: Array) -> tuple[Array]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    """The p-norm over all spatial axes."""

    def _run(self, x: Array, *, p: int) -> tuple[Array]:
        return ((np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


class MeanVarianceNormalization(OpRun):
    """(x − mean)/(σ + 1e-9) over axes; ONNX writes its constants in float32."""

    def _run(self, x: Array, *, axes: Sizes | None) -> tuple[Array]:
        over = tuple(axes or (0, 2, 3))
        return ((x - x.mean(axis=over, keepdims=True)) / (x.std(axis=over, keepdims=True) + 1e-9),)


class GridSample(ReferenceGridSample):
    """The reference's, under the names of opset 16 too."""

    def _run(self, X: Any, grid: Any, mode: Any = None, padding_mode: Any = None, align_corners: Any = None) -> Any:  # noqa: N803  # the reference's own name
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
        return super()._run(X, grid, mode, padding_mode, align_corners)  # type: ignore[no-untyped-call]  # onnx gives none


class Mean(OpRun):
    """The mean of tensors, with broadcasting."""

    def _run(self, *parts: Array) -> tuple[Array]:
        return (np.asarray(sum(parts[1:], parts[0])) / len(parts),)


class Erf(OpRun):
    """The error function, in float64 throughout."""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.vectorize(math.erf, otypes=[x.dtype])(x),)


class Gelu(OpRun):
    """GELU, exact or by tanh."""

    def _run(self, x: Array, *, approximate: str) -> tuple[Array]:
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),)


KERNELS = [Conv, ConvTranspose, AveragePool, GlobalMaxPool, GlobalLpPool, GridSample, LRN, Mean, Erf, Gelu]
KERNELS += [MeanVarianceNormalization]


def runner(model: onnx.ModelProto) -> Runner:
    """Return a function that runs a model on feeds and returns its outputs by name.

    ONNX Runtime's CPU kernels where it has all of the model's ops for its dtype, else ``onnx.reference`` with this
    kit's float64 kernels.
    """
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    names = [o.name for o in model.graph.output]
    settings = ort.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 4, 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        run = ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"]).run
    except (NoKernel, InvalidGraph, Fail):  # ONNX itself has the op, or a function's constants, in float32 only
        run = ReferenceEvaluator(model, new_ops=KERNELS).run
    return lambda feeds: dict(zip(names, run(names, dict(feeds)), strict=True))
