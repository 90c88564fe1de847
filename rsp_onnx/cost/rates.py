"""What one operation of each kind takes, as measured; ``python -m benchmarks.calibrate`` writes this file."""

from __future__ import annotations

from .amounts import Kind

MEASURED = "not yet"
# seconds by kind: per node, per multiply-add, per byte read or written; one thread
SECONDS = {
    Kind.DENSE: (1e-6, 9e-12, 1e-10),
    Kind.THIN: (1e-6, 2e-10, 1e-10),
    Kind.ENTRIES: (1e-6, 0.0, 1e-10),
    Kind.POOL: (1e-6, 0.0, 1e-10),
    Kind.MOVE: (1e-6, 0.0, 1e-10),
    Kind.NOTHING: (1e-7, 0.0, 0.0),
}
CALL = 5e-4  # seconds of explain() outside the session
# bytes of resident memory per byte of weights, of filters, of tensors that live at once; per node; at least
WEIGHTS, FILTERS, LIVE, NODE, LEAST = 2.0, 1.0, 1.27, 24000.0, 5e6
LOADING = 2.9  # per byte of the model's file while it is read
