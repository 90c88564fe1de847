"""Times of several things in turn, so that what disturbs one disturbs all: medians, quartiles, ratios to the first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .machine import Others

PAUSE = 0.005  # seconds between samples where there are several threads: those of the last session stop spinning


@dataclass(frozen=True)
class Figure:
    """One thing measured: median and quartiles in seconds (or bytes), and as multiples of what it stands beside."""

    name: str
    median: float
    low: float
    high: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    others: float | None = None
    unit: str = "s"

    def to_dict(self) -> dict[str, Any]:
        """Return its fields."""
        return asdict(self)


def one(name: str, value: float, unit: str = "s", beside: float | None = None) -> Figure:
    """Return a figure taken once."""
    ratio = value / beside if beside else None
    return Figure(name, value, value, value, ratio, ratio, ratio, unit=unit)


def in_turn(things: Mapping[str, Callable[[], object]], runs: int, threads: int = 1) -> list[Figure]:
    """Measure things in turn, ``runs`` times each, after two runs that warm up.

    Once each, however quick: a forward pass that is repeated finds its weights in the cache and takes half as long as
    one between two explanations.

    Returns
    -------
    list of Figure
        In their order. Ratios are of each thing's sample to the first thing's of the same round, so that a change of
        the machine's pace between rounds is in neither.
    """
    for run in (*things.values(), *things.values()):
        run()
    samples: dict[str, list[float]] = {name: [] for name in things}
    watch = Others.start()
    for _ in range(runs):
        for name, run in things.items():
            if threads > 1:
                time.sleep(PAUSE)
            samples[name].append(_seconds(run))
    others, first = watch.cores(), next(iter(samples.values()))
    return [_figure(name, took, first, others) for name, took in samples.items()]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _figure(name: str, took: list[float], first: list[float], others: float | None) -> Figure:
    ratios = [a / b for a, b in zip(took, first, strict=True)]
    return Figure(name, *_quartiles(took), *_quartiles(ratios), others)


def _quartiles(numbers: list[float]) -> tuple[float, float, float]:
    """Return median, lower and upper quartile."""
    if len(numbers) < 2:
        return numbers[0], numbers[0], numbers[0]
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return middle, low, high
