"""What one operation of each kind takes, as measured; by ``python -m benchmarks.calibrate``."""

from __future__ import annotations

from .amounts import Kind

MEASURED = "29 November 2026, two cores of a busy x86-64 machine with AVX-512: to be renewed"
# seconds by kind: per node, per multiply-add, per byte read or written; one thread
SECONDS = {
    Kind.DENSE: (1.93e-06, 6.61e-12, 1.85e-11),
    Kind.THIN: (2e-06, 9.55e-11, 9.42e-11),
    Kind.ENTRIES: (9.9e-07, 0.0, 1.49e-10),
    Kind.POOL: (9.98e-07, 0.0, 1.91e-10),
    Kind.MOVE: (1.01e-06, 0.0, 1.15e-10),
    Kind.NOTHING: (4.97e-07, 0.0, 0.0),
}
CALL = 0.000675  # seconds of explain() outside the session
# resident bytes per byte of weights, of those serialised, of filters, of live tensors; per node; at least
WEIGHTS, COPIED, FILTERS, LIVE, NODE, LEAST = 1.0, 3.0, 2.0, 1.25, 6000.0, 5000000.0
LOADING = 1.05  # per byte of the model's file while it is read
