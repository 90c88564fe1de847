"""What passes and products take, fitted to measurements by ``benchmarks/calibrate_forms.py``; see ``time_of``."""

from __future__ import annotations

from collections.abc import Mapping

BYTES_PER_MS = 8.0e6
OPERATIONS_PER_MS: Mapping[str, float] = {
    "unfold": 6.1e7, "gram": 5.7e7, "direct": 6.5e7, "pointwise": 7.8e7, "winograd": 3.2e7,
    "unfold, depthwise": 3.8e6, "gram, depthwise": 2.5e6, "depthwise": 1.6e7, "blocked": 1.9e7,
}  # fmt: skip


def time_of(form: str, operations: int, traffic: int) -> float:
    """Return the milliseconds a form is predicted to take on one thread: its products and its passes over memory."""
    return operations / OPERATIONS_PER_MS[form] + traffic / BYTES_PER_MS
