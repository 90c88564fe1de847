"""The geometry of the report's charts: numbers become coordinates here, the template only draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsp_onnx.types import Array

BINS = 24
WIDTH, HEIGHT = 220.0, 56.0  # of a histogram, in units of its viewBox
CURVE_WIDTH, CURVE_HEIGHT = 420.0, 220.0
WHISKER = 96.0


def colour(index: int) -> str:
    """Return a colour that differs from those of the indices near by; readable on light and dark ground."""
    return f"hsl({(8 + index * 137.508) % 360:.0f} 62% 52%)"


def whisker(figure: Mapping[str, Any], low: float, high: float) -> dict[str, float] | None:
    """Return where a figure's interval and value lie on a line of ``WHISKER`` units from low to high."""
    if figure["value"] is None:
        return None
    span = (high - low) or 1.0
    ends = [figure[k] if figure[k] is not None else figure["value"] for k in ("low", "value", "high")]
    left, middle, right = (3 + (WHISKER - 6) * (e - low) / span for e in ends)
    return {"left": round(left, 2), "middle": round(middle, 2), "right": round(right, 2)}


def limits(figures: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the smallest and the largest end of intervals."""
    ends = [f[k] for f in figures for k in ("low", "value", "high") if f[k] is not None]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def histograms(values: Mapping[str, Array]) -> dict[str, Any] | None:
    """Return bars of each method's values on common axes; None where nothing varies."""
    finite = {m: v[np.isfinite(v)] for m, v in values.items()}
    every = np.concatenate(list(finite.values())) if finite else np.zeros(0)
    if every.size < 2 or every.min() == every.max():
        return None
    edges = np.linspace(every.min(), every.max(), BINS + 1)
    shares = {m: np.histogram(v, edges)[0] / max(v.size, 1) for m, v in finite.items()}
    top = max(float(s.max()) for s in shares.values())
    charts = [
        {
            "method": m,
            "n": int(finite[m].size),
            "bars": [_bar(i, float(s) / top) for i, s in enumerate(share) if s > 0],
            "median": _median(finite[m], edges),
        }
        for m, share in shares.items()
    ]
    return {"low": float(edges[0]), "high": float(edges[-1]), "charts": charts}


def _bar(index: int, share: float) -> dict[str, float]:
    step = WIDTH / BINS
    height = max(share * (HEIGHT - 4), 0.6)
    return {"x": round(index * step + 0.5, 2), "y": round(HEIGHT - height, 2), "w": round(step - 1, 2), "h": height}


def _median(values: Array, edges: Array) -> dict[str, float] | None:
    if not values.size:
        return None
    middle = float(np.median(values))
    return {"value": middle, "x": round(WIDTH * (middle - edges[0]) / (edges[-1] - edges[0]), 2)}


def curves(values: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Any] | None:
    """Return each method's mean curve on common axes; curves of different lengths end with the shortest."""
    lengths = [len(c) for several in values.values() for c in several if len(c) > 1]
    if not lengths:
        return None
    size = min(lengths)
    means = {m: np.mean([c[:size] for c in cs if len(c) > 1], axis=0) for m, cs in values.items() if cs}
    every = np.concatenate(list(means.values()))
    every = every[np.isfinite(every)]
    if not every.size:
        return None
    low, high = min(0.0, float(every.min())), float(every.max())
    span = (high - low) or 1.0
    lines = [{"method": m, "points": _points((mean - low) / span)} for m, mean in means.items()]
    return {"low": low, "high": high, "lines": lines}


def _points(shares: Array) -> str:
    places = np.linspace(0, CURVE_WIDTH, len(shares))
    return " ".join(
        f"{x:.1f},{CURVE_HEIGHT - y * CURVE_HEIGHT:.1f}" for x, y in zip(places, shares, strict=True) if np.isfinite(y)
    )
