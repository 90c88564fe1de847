"""Loading a graph first where a crash does not take the user's process along.

ONNX Runtime's optimiser has ended the process with a segmentation fault on compiled graphs of half-precision and
quantised models. The patterns that were found are emitted differently; for the ones that were not, such a graph is
loaded by a process of its own before it is loaded here, at a lower level of optimisation where that process ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .custom_ops import custom_op_libraries

LEVELS = ("ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC", "ORT_DISABLE_ALL")
_LOAD = """
import sys
import onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 4
options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, sys.argv[2])
for library in sys.argv[3:]:
    options.register_custom_ops_library(library)
try:
    ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
except Exception:
    sys.exit(1)  # the same error comes again in the user's process, where it is told
"""


def safe_level(data: bytes) -> str:
    """Return the highest level of optimisation at which ONNX Runtime loads a serialised model without crashing."""
    with tempfile.TemporaryDirectory(prefix="rsp-onnx-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        return first_safe(lambda level: _survives(_LOAD, [str(path), level, *custom_op_libraries()]))


def first_safe(survives: Callable[[str], bool]) -> str:
    """Return the first level that a process survives; the lowest where none does."""
    return next((level for level in LEVELS[:-1] if survives(level)), LEVELS[-1])


def _survives(code: str, arguments: Sequence[str]) -> bool:
    """Tell whether a process ends by itself, with an error or without one."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode in (0, 1)
