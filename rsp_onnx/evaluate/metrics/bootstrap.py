"""95 % intervals by the bootstrap (Efron 1979) over images: the targets of one image are not independent.

Images are drawn with replacement, 1000 times, each with all its rows; an interval goes from the 2.5th to the 97.5th
percentile of the figure's values. The draws are seeded, so that equal rows give equal intervals.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rsp_onnx.types import Array

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)
_CELLS = 1 << 22  # weights held at a time


class Estimate(NamedTuple):
    """A figure, its interval, and the number of rows it is made of."""

    value: float
    low: float
    high: float
    n: int


def mean_of_classes(
    numerators: Sequence[float] | Array, items: Sequence[Hashable], *,
    denominators: Sequence[float] | Array | None = None, classes: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES, seed: int = 0,
) -> Estimate:  # fmt: skip
    """Estimate the mean over classes of Σ numerators / Σ denominators.

    A class without rows, or without weight in its denominators, is left out of the mean, never counted 0.

    Parameters
    ----------
    numerators : sequence of float, [rows]
    items : sequence, [rows]
        Which image a row is of.
    denominators : sequence of float, [rows], optional
        1 by default: the mean.
    classes : sequence, [rows], optional
        All one class by default: the plain mean.

    Raises
    ------
    ValueError
        There are no rows.
    """
    up = np.asarray(numerators, np.float64)
    down = np.ones_like(up) if denominators is None else np.asarray(denominators, np.float64)
    _, owner = _numbered(items)
    labels, group = _numbered(classes if classes is not None else [0] * len(up))
    order = np.argsort(group, kind="stable")
    up, down, owner, group = up[order], down[order], owner[order], group[order]
    starts = np.searchsorted(group, np.arange(len(labels)))
    value = _class_mean(up[None], down[None], starts)[0]
    drawn = [
        _class_mean(up * weights[:, owner], down * weights[:, owner], starts)
        for weights in _draws(int(owner.max()) + 1, len(up), resamples, seed)
    ]
    return _estimate(float(value), np.concatenate(drawn), len(up))


def median(
    values: Sequence[float] | Array, items: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate the median of rows; images are drawn as above.

    Raises
    ------
    ValueError
        There are no rows.
    """
    rows = np.asarray(values, np.float64)
    _, owner = _numbered(items)
    order = np.argsort(rows, kind="stable")
    ascending, owner = rows[order], owner[order]
    drawn = [
        _weighted_median(ascending, weights[:, owner])
        for weights in _draws(int(owner.max()) + 1, len(rows), resamples, seed)
    ]
    return _estimate(float(np.median(rows)), np.concatenate(drawn), len(rows))


def _draws(items: int, rows: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield how often each image was drawn, float64 [part of the resamples, items]."""
    rng = np.random.default_rng([seed, items])
    step = max(1, _CELLS // max(items, rows))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        places = rng.integers(items, size=(count, items)) + np.arange(count)[:, None] * items
        yield np.bincount(places.ravel(), minlength=count * items).reshape(count, items).astype(np.float64)


def _class_mean(up: Array, down: Array, starts: Array) -> Array:
    """Return [resamples]: the mean over classes, whose rows begin at ``starts``; NaN where no class has weight."""
    tops, bottoms = np.add.reduceat(up, starts, axis=1), np.add.reduceat(down, starts, axis=1)
    seen = bottoms > 0
    ratios = np.divide(tops, bottoms, out=np.zeros_like(tops), where=seen)
    count = seen.sum(axis=1)
    sums = ratios.sum(axis=1)
    return np.asarray(np.divide(sums, count, out=np.full(len(sums), np.nan), where=count > 0))


def _weighted_median(ascending: Array, weights: Array) -> Array:
    """Return [resamples]: the lower and the upper middle of the rows with their multiplicities, averaged."""
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1]
    low = (reached < np.ceil(total / 2)[:, None]).sum(axis=1)
    high = (reached < (np.floor(total / 2) + 1)[:, None]).sum(axis=1)
    return np.asarray((ascending[low] + ascending[high]) / 2)


def _estimate(value: float, drawn: Array, n: int) -> Estimate:
    finite = drawn[np.isfinite(drawn)]
    low, high = np.percentile(finite, PERCENTILES) if len(finite) else (value, value)
    return Estimate(value, float(low), float(high), n)


def _numbered(names: Sequence[Hashable]) -> tuple[list[Hashable], Array]:
    """Return the different names in their first order, and each one's number [rows]."""
    places: dict[Hashable, int] = {}
    numbers = np.fromiter((places.setdefault(name, len(places)) for name in names), np.intp, len(names))
    if not len(numbers):
        raise ValueError("an estimate needs at least one row")
    return list(places), numbers
