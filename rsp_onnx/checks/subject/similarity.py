"""How alike two maps are: correlation of values and of ranks, structure, the strongest pixels, signs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rsp_onnx.checks.spec.places import window_sums
from rsp_onnx.types import Array

_WINDOW = 7  # pixels, of SSIM
_TOP = 0.1  # the share of a map's pixels that counts as its strongest
_C1, _C2 = (0.01 * 2.0) ** 2, (0.03 * 2.0) ** 2  # of SSIM, for values from -1 to 1


def pearson(a: Array, b: Array) -> float:
    """Return the correlation of two maps' values, -1..1; 0 where one of them is constant."""
    x, y = (np.asarray(m, np.float64).ravel() for m in (a, b))
    x, y = x - x.mean(), y - y.mean()
    # sums of products, not @: it splits its sums by threads, and would not come out the same everywhere
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float(np.clip((x * y).sum() / size, -1.0, 1.0)) if size > 0 else 0.0


def spearman(a: Array, b: Array) -> float:
    """Return the correlation of two maps' ranks, -1..1, ties at their mean rank; 0 where one map is constant."""
    return pearson(ranks(a), ranks(b))


def ranks(values: Array) -> Array:
    """Return the rank of every value, float64 [n], equal values at the mean of their ranks."""
    _, place, counts = np.unique(np.ravel(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place.ravel()])


def ssim(a: Array, b: Array) -> float:
    """Return the structural similarity of two maps [H, W], each divided by its largest magnitude; -1..1.

    Wang et al. 2004 with a flat window of 7 pixels, or the shorter side where that is less; mean over windows that
    lie in the map.
    """
    x, y = (_unit(np.atleast_2d(np.asarray(m, np.float64))) for m in (a, b))
    rows, columns = (min(_WINDOW, n) for n in x.shape)
    n = rows * columns

    def mean(values: Array) -> Array:
        return np.asarray(window_sums(values, rows, columns) / n)

    unbiased = n / (n - 1) if n > 1 else 1.0
    ux, uy = mean(x), mean(y)
    vx, vy, vxy = (unbiased * (mean(p * q) - u * v) for p, q, u, v in ((x, x, ux, ux), (y, y, uy, uy), (x, y, ux, uy)))
    top = (2 * ux * uy + _C1) * (2 * vxy + _C2)
    return float((top / ((ux**2 + uy**2 + _C1) * (vx + vy + _C2))).mean())


def top_overlap(a: Array, b: Array, share: float = _TOP) -> float:
    """Return which part of the strongest positive pixels two maps have in common, 0..1.

    The strongest are a tenth of all pixels, or all positive ones where those are fewer. Two maps without any positive
    pixel agree; one without disagrees with one that has some.
    """
    first, second = _strongest(a, share), _strongest(b, share)
    most = max(len(first), len(second))
    return len(first & second) / most if most else 1.0


def _strongest(values: Array, share: float) -> set[int]:
    flat = np.ravel(values)
    order = np.argsort(-flat, kind="stable")[: max(1, round(share * flat.size))]
    return {int(i) for i in order if flat[i] > 0}


def sign_agreement(now: Array, golden: Array) -> float:
    """Return the share of the golden map's magnitude that lies where both maps have the same sign, 0..1."""
    weight = np.abs(np.asarray(golden, np.float64))
    total = float(weight.sum())
    return float(weight[np.sign(now) == np.sign(golden)].sum()) / total if total > 0 else 1.0


def coarse(heatmap: Array, most: int) -> Array:
    """Return a map with no side above ``most`` pixels, each the mean over its area; float64, two axes.

    A map with another number of axes is laid out with its first axis as rows.
    """
    values = np.asarray(heatmap, np.float64)
    if values.ndim != 2:
        values = values.reshape(values.shape[0], -1) if values.ndim > 2 else np.atleast_2d(values)
    rows, columns = (_areas(n, min(n, most)) for n in values.shape)
    return np.asarray(np.einsum("ij,kj->ik", np.einsum("ij,jk->ik", rows, values), columns))


def _areas(n: int, wanted: int) -> Array:
    """Return the weight of each of n pixels in each of the wanted ones; [wanted, n], rows sum to 1."""
    edges = np.linspace(0, n, wanted + 1)
    starts = np.arange(n)
    inside = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.asarray(np.maximum(inside, 0) / (edges[1:] - edges[:-1])[:, None])


def _unit(values: Array) -> Array:
    top = float(np.abs(values).max())
    return values / top if top > 0 else values


SIMILARITIES: Mapping[str, Callable[[Array, Array], float]] = {
    "spearman": spearman,
    "pearson": pearson,
    "ssim": ssim,
    "top-k": top_overlap,
    "sign": sign_agreement,
}


def similarities(now: Array, golden: Array) -> dict[str, float]:
    """Return every similarity of two maps of one size, by name; of equal maps each is 1."""
    return {name: measure(now, golden) for name, measure in SIMILARITIES.items()}
