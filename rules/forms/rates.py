"""What passes and products take, fitted to measurements by ``benchmarks/calibrate_forms.py``; see ``time_of``."""

from __future__ import annotations

from collections.abc import Mapping

BYTES_PER_MS = 5.0e6
OPERATIONS_PER_MS: Mapping[str, float] = {
    "unfold": 1.0e8, "gram": 9.0e7, "direct": 1.1e8, "pointwise": 1.1e8, "winograd": 6.0e7,
    "unfold, depthwise": 2.5e6, "gram, depthwise": 2.5e6, "depthwise": 5.0e6, "blocked": 2.0e7,
}  # fmt: skip


def time_of(form: str, operations: int, traffic: int) -> float:
    """Return the milliseconds a form is predicted to take on one thread: its products and its passes over memory."""
    return operations / OPERATIONS_PER_MS[form] + traffic / BYTES_PER_MS
