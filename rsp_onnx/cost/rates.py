"""What one operation of each kind takes, as measured; by ``python -m benchmarks.calibrate``."""

from __future__ import annotations

from .amounts import Kind

MEASURED = "29 November 2026, one core of a shared x86-64 machine with AVX-512 and AMX"
# seconds by kind: per node, per multiply-add, per byte read or written; one thread
SECONDS = {
    Kind.DENSE: (2.85e-06, 2.23e-11, 2.14e-11),
    Kind.THIN: (2.01e-06, 8.85e-11, 1.53e-10),
    Kind.ENTRIES: (8.95e-07, 0.0, 9.8e-11),
    Kind.POOL: (9.47e-07, 0.0, 8.82e-11),
    Kind.MOVE: (7.55e-07, 0.0, 3.39e-11),
    Kind.NOTHING: (4.38e-07, 0.0, 0.0),
}
CALL = 0.000741  # seconds of explain() outside the session
# resident bytes per byte of weights, of those serialised, of filters, of live tensors; per node; at least
WEIGHTS, COPIED, FILTERS, LIVE, NODE, LEAST = 1.0, 3.0, 2.0, 1.25, 6000.0, 5000000.0
LOADING = 1.05  # per byte of the model's file while it is read
