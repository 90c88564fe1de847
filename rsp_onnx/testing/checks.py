"""The test kit for rules: an op's gradient or relevance as a small model, and what must hold of it.

Give any function here the smallest model with your op, as ONNX text or as a ModelProto, in float64::

    MODEL = '''
    <ir_version: 8, opset_import: ["" : 18]>
    agraph (double[N, 3, 8, 8] x) => (y) { y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }
    '''
    check_adjoint(MODEL)
    check_conservation(MODEL)
    check_batch(MODEL)

A failed check is an AssertionError that names the ops, their attributes and the relative error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsp_onnx.rulekit.context import Options
from rsp_onnx.rulekit.registry import find_rule, find_vjp

from .models import Ops, Source, compile_ops, read_ops, rule_model, vjp_model
from .reference import runner

Array: TypeAlias = "NDArray[Any]"
Feeds: TypeAlias = "Mapping[str, NDArray[Any]]"

STEP = 2.0**-10  # a power of two: x ± h loses no bits
_SMOOTH = 1e-4  # two difference quotients of a smooth f, at h and h/2, agree far better


def sample_inputs(
    model: Source, *, samples: int = 2, low: float = -2.0, high: float = 2.0, seed: int = 0
) -> dict[str, Array]:
    """Return values for all floating-point inputs: all different, evenly spread in (low, high), never 0.

    So they are away from the usual kinks: the 0 of a ReLU, the ties of a maximum.

    Parameters
    ----------
    samples : int
        The batch size, where the model leaves it free.
    low, high : float
        The range; the finer the grid, the closer to each other and to kinks: a few hundred values in all are enough.
    """
    op = read_ops(model, None)
    shapes = [tuple(samples if d is None else d for d in op.graph.dims(v)) for v in op.inputs]
    counts = [int(np.prod(shape)) for shape in shapes]
    places = np.random.default_rng(seed).permutation(sum(counts))
    values = np.split(low + (high - low) * (places + 0.8) / sum(counts), np.cumsum(counts)[:-1])
    return {
        str(v.name): part.reshape(shape).astype(v.dtype.numpy() if v.dtype else np.float64)
        for v, part, shape in zip(op.inputs, values, shapes, strict=True)
    }


def check_adjoint(
    model: Source, feeds: Feeds | None = None, *, input_names: Sequence[str] | None = None, seed: int = 0,
    tolerance: float = 1e-10, step: float = STEP,
) -> None:  # fmt: skip
    """Check a gradient rule: ⟨f′(x)v, s⟩ = ⟨v, f*(s)⟩ for random v and three random s.

    f′(x)v is (f(x+hv) − f(x−hv))/2h, refined once by Richardson. For linear, bilinear and piecewise linear ops that is
    exact but for rounding, about 1e-13 relative; for smooth ones the error is O(h⁴), measured below 1e-11.

    Parameters
    ----------
    model : str or onnx.ModelProto
        In float64: in float32 the difference quotient has three digits.
    feeds : mapping, optional
        The point x; default: ``sample_inputs``. It must be no kink of f (0 of a ReLU, a tie of a MaxPool).
    tolerance : float
        Of the difference, relative to ‖f′(x)v‖·‖s‖. 1e-8 for an op whose own constants are float32 (HardSwish).
    step : float
        h.

    Raises
    ------
    AssertionError
        The gradient is wrong, or f has a kink at x.
    """
    op = read_ops(model, input_names)
    x = dict(feeds or sample_inputs(model, seed=seed))
    rng = np.random.default_rng(seed + 1)
    v = {str(t.name): rng.uniform(-1, 1, x[str(t.name)].shape) for t in op.inputs}
    along = _derivative(op, x, v, step)
    s = [rng.uniform(-1, 1, (3, *a.shape)).astype(a.dtype) for a in along]
    back = runner(vjp_model(model, input_names))({**x, **dict(zip(op.cotangents(), s, strict=True))})
    left = sum(np.sum(a * b, axis=tuple(range(1, b.ndim))) for a, b in zip(along, s, strict=True))
    right = sum(np.sum(v[n] * back[f"gradient/{n}"], axis=tuple(range(1, v[n].ndim + 1))) for n in v)
    scale = np.sqrt(sum(np.sum(a**2) for a in along) * sum(np.sum(b**2) for b in s) / 3)
    _require(op, "⟨f′(x)v, s⟩ ≠ ⟨v, f*(s)⟩", left, right, scale, tolerance)


def check_conservation(
    model: Source, feeds: Feeds | None = None, *, input_names: Sequence[str] | None = None, seed: int = 0,
    tolerance: float = 1e-12, options: Options | None = None,
) -> None:  # fmt: skip
    """Check that an RSP rule keeps the sum of relevance of every target and sample.

    Parameters
    ----------
    feeds : mapping, optional
        The input; default: positive values, so that no Z vanishes.
    tolerance : float
        Of the difference, relative to the sum.

    Raises
    ------
    AssertionError
        Relevance is lost or made, or is NaN or infinite.
    """
    op = read_ops(model, input_names)
    x = dict(feeds or sample_inputs(model, low=0.5, high=2.5, seed=seed))
    r = _relevance(op, x, seed)
    back = runner(rule_model(model, input_names, options))({**x, **r})
    arrived, left = _totals(list(back.values())), _totals(list(r.values()))
    if arrived.shape != left.shape:  # an input without the batch axis: compare the totals of each target
        arrived, left = arrived.reshape(len(left), -1).sum(1), left.reshape(len(left), -1).sum(1)
    what = "Σ relevance of the inputs ≠ Σ relevance of the outputs"
    _require(op, what, arrived, left, np.abs(left).max(), tolerance)


def check_batch(
    model: Source, feeds: Feeds | None = None, *, input_names: Sequence[str] | None = None, seed: int = 0,
    tolerance: float = 1e-12, options: Options | None = None,
) -> None:  # fmt: skip
    """Check that samples and targets do not mix: three of each at once give what each gives alone.

    Gradient and relevance are checked, whichever the ops have.

    Raises
    ------
    AssertionError
        A sample's or target's result depends on the others.
    """
    op = read_ops(model, input_names)
    x = dict(feeds or sample_inputs(model, samples=3, seed=seed))
    r = _relevance(op, x, seed)
    for lookup, word in ((find_vjp, "gradient"), (find_rule, "relevance")):
        if any(lookup(node) is None for node in op.nodes):
            continue
        run = runner(compile_ops(read_ops(model, input_names), lookup, word, options))
        whole = run({**x, **r})
        for k in range(3):
            alone = run({**x, **{n: a[k : k + 1] for n, a in r.items()}})
            _compare(op, f"the {word} of target {k}", {n: a[k : k + 1] for n, a in whole.items()}, alone, tolerance)
            alone = run({n: a[k : k + 1] for n, a in x.items()} | {n: a[:, k : k + 1] for n, a in r.items()})
            _compare(op, f"the {word} of sample {k}", {n: a[:, k : k + 1] for n, a in whole.items()}, alone, tolerance)


def _derivative(op: Ops, x: Feeds, v: Feeds, step: float) -> list[Array]:
    run = runner(ir.to_proto(op.graph.model))

    def quotient(h: float) -> list[Array]:
        ends = [run({**x, **{n: np.asarray(x[n] + sign * h * v[n], x[n].dtype) for n in v}}) for sign in (1, -1)]
        return [(ends[0][str(o.name)] - ends[1][str(o.name)]) / (2 * h) for o in op.outputs]

    coarse, fine = quotient(step), quotient(step / 2)
    for a, b in zip(coarse, fine, strict=True):
        _require(op, "no derivative: a kink is near x, give other feeds", a, b, float(np.linalg.norm(b)), _SMOOTH)
    return [(4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True)]


def _relevance(op: Ops, x: Feeds, seed: int) -> dict[str, Array]:
    """Return positive relevance of three targets for every output."""
    rng = np.random.default_rng(seed + 2)
    results = runner(ir.to_proto(op.graph.model))(x)
    sizes = [results[str(v.name)].shape for v in op.outputs]
    kind = next(iter(x.values())).dtype
    return {n: rng.uniform(0.5, 1.5, (3, *size)).astype(kind) for n, size in zip(op.cotangents(), sizes, strict=True)}


def _totals(parts: Sequence[Array]) -> Array:
    sums = [p.astype(np.float64).sum(axis=tuple(range(2, p.ndim))) for p in parts]
    if len({s.shape for s in sums}) > 1:
        sums = [s.reshape(len(s), -1).sum(1) for s in sums]
    total: Array = np.sum(sums, axis=0)
    return total


def _compare(op: Ops, what: str, got: Feeds, want: Feeds, tolerance: float) -> None:
    for name, a in want.items():
        _require(op, f"{what} at {name} depends on the others", got[name], a, np.abs(a).max(initial=0), tolerance)


def _require(op: Ops, what: str, a: Array, b: Array, scale: float, tolerance: float) -> None:
    """Raise where a and b differ by more than tolerance · scale, or one is not finite."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise AssertionError(f"{op}: {what}: shapes {a.shape} and {b.shape}")
    error = float(np.abs(a - b).max(initial=0)) / max(float(scale), np.finfo(np.float64).tiny)
    if not error <= tolerance:  # also where it is NaN
        raise AssertionError(f"{op}: {what}: relative error {error:.3g} above {tolerance:.3g}")
