"""What a figure was taken on: processor, versions, load, memory, and how much of the processor others took."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BUSY = 0.1  # of a core: above this a figure is marked
_IDLE, _COUNTED = (3, 4), 8  # of the columns in /proc/stat: idle and waiting; guests are counted among the users


def processor() -> str:
    """Return the processor's name, with what tells apart those that share one."""
    facts = _fields(Path("/proc/cpuinfo"))
    name = facts.get("model name", platform.processor() or platform.machine())
    numbers = [f"{word} {facts[word]}" for word in ("cpu family", "model", "stepping") if word in facts]
    wide = [flag for flag in ("avx2", "avx512f", "amx_tile") if flag in facts.get("flags", "").split()]
    told = f" ({', '.join(numbers + wide)})" if numbers else ""
    return f"{name}{told}, {os.cpu_count()} cores"


def versions(*packages: str) -> str:
    """Return the versions of Python and of those packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def load() -> str:
    """Return the load averages; empty where the system has none."""
    return " ".join(f"{one:.2f}" for one in os.getloadavg()) if hasattr(os, "getloadavg") else ""


def peak_bytes() -> int:
    """Return the largest resident memory this process has had; 0 where the system does not say."""
    return _own_memory("VmHWM")


def resident_bytes() -> int:
    """Return the resident memory of this process, and let the peak begin anew where the system allows that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _own_memory("VmRSS")


def _own_memory(what: str) -> int:
    return int(_fields(Path("/proc/self/status")).get(what, "0 kB").split()[0]) * 1024


def _fields(path: Path) -> dict[str, str]:
    """Return the first of each ``key: value`` of a file; nothing where there is no such file."""
    if not path.exists():
        return {}
    pairs = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    fields: dict[str, str] = {}
    for key, _, value in pairs:
        fields.setdefault(key.strip(), value.strip())
    return fields


@dataclass
class Others:
    """How many cores other processes (and other guests of the host) used between ``start`` and ``cores``."""

    began: float = 0.0
    busy: float = 0.0
    own: float = 0.0

    @classmethod
    def start(cls) -> Others:
        """Begin to watch."""
        return cls(time.perf_counter(), _busy_seconds(), _own_seconds())

    def cores(self) -> float | None:
        """Return the cores others used since; None where the system does not say."""
        passed = time.perf_counter() - self.began
        if not self.busy or not passed:
            return None
        return max(0.0, _busy_seconds() - self.busy - (_own_seconds() - self.own)) / passed


def _own_seconds() -> float:
    return sum(os.times()[:4])


def _busy_seconds() -> float:
    """Return the seconds all cores together were busy since the start of the system; 0 where nothing says it."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0
    ticks = [int(n) for n in path.read_text(encoding="utf-8").splitlines()[0].split()[1 : _COUNTED + 1]]
    return sum(n for i, n in enumerate(ticks) if i not in _IDLE) / os.sysconf("SC_CLK_TCK")
