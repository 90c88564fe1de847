"""What an inference and an explanation take here: milliseconds, and the peak of this process's memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.inputs.tensors import Feeds

_RUNS = 5
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def machine() -> str:
    """Return what kind of machine this is: times and memory of another kind cannot be compared."""
    return " ".join(filter(None, (platform.system(), platform.machine(), _processor())))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def measure_costs(
    explainer: Explainer, feeds: Feeds, target: int, hostile: Sequence[int]
) -> dict[str, float | None]:  # fmt: skip
    """Return the fastest of five inferences and explanations of one image, two digits each, and peak memory.

    ``memory_mib`` is the whole process's peak while it explains; None where the system does not tell (not Linux).
    """
    reset = _reset_peak()
    explain = _fastest(lambda: explainer.explain_each([feeds], [[target]], [[list(hostile)]]))
    return {
        "inference_ms": _digits(_fastest(lambda: explainer.score_batch([feeds]))),
        "explanation_ms": _digits(explain),
        "memory_mib": _digits(_peak()) if reset else None,
    }


def _fastest(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def _digits(value: float) -> float:
    return float(f"{value:.2g}")


def _reset_peak() -> bool:
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> float:
    lines: Mapping[str, str] = dict(
        line.partition(":")[::2] for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    )
    return float(lines["VmHWM"].split()[0]) / 1024
