"""Methods made of many answers of the model: averaged gradients, and black boxes that look at scores alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.compiler.method import Method, Outcome, Plan
from rsp_onnx.repetition.asked import Asked, Repetition
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import find_vjp

from .gradients import gradient


def _count(name: str) -> Callable[[Asked], int]:
    return lambda asked: max(int(asked.parameters[name]), 1)


# ---- integrated gradients ----


def _between(asked: Asked) -> tuple[ir.Value, ir.Value | None]:
    """Baseline + α·(x − baseline), α = (step + ½)/steps: the middle of each stretch of the straight path."""
    op, base = asked.op, asked.parameters["baseline"]
    share = op.Div(op.Add(op.Cast(asked.step, to=int(op.type)), 0.5), asked.parameters["steps"])
    return op.Add(op.Mul(op.Sub(asked.x, base), share), base), None


def _as_it_is(asked: Asked, answer: ir.Value, weight: ir.Value | None) -> ir.Value:
    return answer


def _times_distance(asked: Asked, total: ir.Value) -> ir.Value:
    """(x − baseline) ⊙ mean gradient, so that ΣR = y(x) − y(baseline) up to the sum's own error."""
    op = asked.op
    distance = op.Sub(asked.x, asked.parameters["baseline"])
    return op.Div(op.Mul(total, distance), asked.parameters["steps"])


# ---- SmoothGrad ----


def _with_noise(asked: Asked) -> tuple[ir.Value, ir.Value | None]:
    """X + noise·(max x − min x)·n, n drawn once from a normal distribution when the model is compiled."""
    op, axes = asked.op, list(range(1, len(asked.sizes) + 1))
    shape = (int(asked.parameters["samples"]), *asked.sizes)
    drawn = np.random.default_rng(int(asked.parameters["seed"])).standard_normal(shape)
    noise = op.Gather(asked.outer.constant(drawn), asked.step, axis=0)
    spread = op.Sub(op.ReduceMax(asked.x, axes, keepdims=1), op.ReduceMin(asked.x, axes, keepdims=1))
    return op.Add(asked.x, op.Mul(op.Mul(spread, asked.parameters["noise"]), noise)), None


def _mean_of_samples(asked: Asked, total: ir.Value) -> ir.Value:
    return asked.op.Div(total, asked.parameters["samples"])


# ---- RISE ----


def _masked(asked: Asked) -> tuple[ir.Value, ir.Value | None]:
    """x ⊙ m, m a coarse random grid enlarged bilinearly and cut out at a random place (eqs. (5) and (6)).

    The columns of a table are no places beside each other: each is kept or dropped by itself.
    """
    op, rng = asked.op, np.random.default_rng(int(asked.parameters["seed"]))
    count, table = int(asked.parameters["masks"]), len(asked.sizes) == 1
    cells = asked.sizes if table else [max(int(asked.parameters["cells"]), 1)] * len(asked.extents)
    grids = (rng.random((count, 1, 1, *cells)) < asked.parameters["probability"]).astype(np.float64)
    mask = op.Gather(asked.outer.constant(grids), asked.step, axis=0)
    mask = _over_places(asked, mask if table else _enlarged(asked, mask, cells, rng))
    base = asked.parameters["baseline"]
    return op.Add(op.Mul(op.Sub(asked.x, base), mask), base), mask


def _enlarged(asked: Asked, grid: ir.Value, cells: Sequence[int], rng: np.random.Generator) -> ir.Value:
    """One cell more than fits along every place, of which the input's extent is cut out at the step's place."""
    op, count = asked.op, int(asked.parameters["masks"])
    widths = [math.ceil(n / c) for n, c in zip(asked.extents, cells, strict=True)]
    shifts = np.stack([rng.integers(0, w, count) for w in widths], axis=1)
    large = [(c + 1) * w for c, w in zip(cells, widths, strict=True)]
    wide = op.Resize(grid, None, None, op.constant(np.array([1, 1, *large])), mode="linear")
    for i, n in enumerate(asked.extents):  # by Gather: on a GPU the bounds of a Slice are copied to the host every step
        first = op.Gather(asked.outer.constant(shifts[:, i]), asked.step, axis=0)
        wide = op.Gather(wide, op.Add(first, op.constant(np.arange(n))), axis=2 + i)
    return wide


def _over_places(asked: Asked, mask: ir.Value) -> ir.Value:
    """Lay a mask [1, 1, *places] over the input's own axes: [1, *sizes with 1 for what is no place]."""
    sizes = [asked.sizes[a - 1] if a in asked.places else 1 for a in range(1, len(asked.sizes) + 1)]
    return asked.op.Reshape(mask, [1, *sizes])


def _times_answer(asked: Asked, answer: ir.Value, weight: ir.Value | None) -> ir.Value:
    """p·m; of a logit y·m with y counted from the unchanged input's, so that float32 keeps small changes."""
    op = asked.op
    return op.Mul(answer if asked.of_probability else op.Sub(answer, asked.unchanged), weight)


def _expected(asked: Asked, total: ir.Value) -> ir.Value:
    """Σ p·m / (masks · probability), spread over the channels so that their sum is the map.

    A logit has no zero: 5 more for every input and class means the same. So its mean under the masks is taken off,
    Σ (y − ȳ)·m / (masks · probability), an estimate of E[y | the place is kept] − E[y]: above 0 what is kept speaks for
    the class, below against it.
    """
    op = asked.op
    if not asked.of_probability:
        total = op.Sub(total, op.Mul(asked.mean_change, asked.weights))
    return _over_channels(asked, op.Div(total, asked.parameters["masks"] * asked.parameters["probability"]))


def _over_channels(asked: Asked, total: ir.Value) -> ir.Value:
    """Spread a map over what is no place, evenly: [K, N, *sizes]."""
    channels = math.prod(n for a, n in enumerate(asked.sizes, 1) if a not in asked.places)
    op = asked.op
    return op.Expand(op.Div(total, float(channels)), op.constant(np.array([1, 1, *asked.sizes])))


# ---- occlusion ----


def _windows(asked: Asked) -> list[tuple[tuple[int, int], ...]]:
    """Return the windows: per place (first, behind the last); the last of each row ends at the edge."""
    rows = []
    for n in asked.extents:
        size = max(min(round(n * asked.parameters["window"]), n), 1)
        stride = max(round(n * asked.parameters["stride"]), 1)
        starts = sorted({*range(0, n - size + 1, stride), n - size})
        rows.append([(s, s + size) for s in starts])
    return list(itertools.product(*rows))


def _occluded(asked: Asked) -> tuple[ir.Value, ir.Value | None]:
    """Replace a window by the baseline; the weight is 1 inside the window and 0 outside."""
    op, windows = asked.op, np.array(_windows(asked))  # [windows, places, 2]
    ends = op.Gather(asked.outer.constant(windows), asked.step, axis=0)
    covered: ir.Value | None = None
    for i, n in enumerate(asked.extents):
        first, last = (op.Slice(op.Slice(ends, [i], [i + 1], [0]), [j], [j + 1], [1]) for j in (0, 1))
        index = op.constant(np.arange(n))
        hit = op.And(op.GreaterOrEqual(index, op.Reshape(first, [1])), op.Less(index, op.Reshape(last, [1])))
        hit = op.Reshape(op.Cast(hit, to=int(op.type)), [n if j == i else 1 for j in range(len(asked.extents))])
        covered = hit if covered is None else op.Mul(covered, hit)
    assert covered is not None
    mask = _over_places(asked, covered)
    base = asked.parameters["baseline"]
    return op.Add(op.Mul(op.Sub(asked.x, base), op.Sub(1.0, mask)), base), mask


def _times_drop(asked: Asked, answer: ir.Value, weight: ir.Value | None) -> ir.Value:
    return asked.op.Mul(asked.op.Sub(asked.unchanged, answer), weight)


def _mean_drop(asked: Asked, total: ir.Value) -> ir.Value:
    """Divide by how many windows cover a place."""
    cover = np.zeros(asked.extents)
    for window in _windows(asked):
        cover[tuple(slice(a, b) for a, b in window)] += 1
    counts = _over_places(asked, asked.op.constant(np.maximum(cover, 1)[None, None]))
    return _over_channels(asked, asked.op.Div(total, counts))


INTEGRATED = Repetition(_count("steps"), _between, _as_it_is, _times_distance)
SMOOTH = Repetition(_count("samples"), _with_noise, _as_it_is, _mean_of_samples)
RISE = Repetition(_count("masks"), _masked, _times_answer, _expected, black_box=True)
OCCLUSION = Repetition(
    lambda asked: len(_windows(asked)), _occluded, _times_drop, _mean_drop, black_box=True, apart=True
)


def _unwalked(ctx: Context, plan: Plan) -> Outcome:
    raise AssertionError("a black box is not walked")


METHODS = (
    Method("smooth-grad", find_vjp, find_vjp, gradient, repetition=SMOOTH),
    Method("integrated-gradients", find_vjp, find_vjp, gradient, repetition=INTEGRATED),
    Method("rise", find_vjp, find_vjp, _unwalked, repetition=RISE),
    Method("occlusion", find_vjp, find_vjp, _unwalked, repetition=OCCLUSION),
)
