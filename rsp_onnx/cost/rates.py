"""What one operation of each kind takes, as measured; by ``python -m benchmarks.calibrate``."""

from __future__ import annotations

from .amounts import Kind

MEASURED = "29 and 30 November 2026, one core of a shared x86-64 machine with AVX-512 and AMX"
# seconds by kind: per node, per multiply-add, per byte read or written; one thread
SECONDS = {
    Kind.DENSE: (2.18e-05, 5.68e-12, 2.74e-11),
    Kind.THIN: (1.09e-06, 4.26e-11, 1.79e-10),
    Kind.ENTRIES: (4.78e-07, 0.0, 6.06e-11),
    Kind.POOL: (9e-07, 0.0, 1.18e-10),
    Kind.MOVE: (1.2e-06, 0.0, 3.81e-11),
    Kind.NOTHING: (1.02e-06, 0.0, 0.0),
}
RUN = 6.64e-05  # seconds of any run of a session
CALL = 0.000591  # seconds of explain() outside the session
# resident bytes per byte of weights, of those serialised, of filters, of live tensors; per node; at least
WEIGHTS, COPIED, FILTERS, LIVE, NODE, LEAST = 1.0, 4.1, 2.06, 1.51, 19700.0, 934000.0
LOADING = 1.05  # per byte of the model's file while it is read
