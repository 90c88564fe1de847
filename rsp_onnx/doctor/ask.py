"""Asking a process of its own, and saying in a sentence how it ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

from .child import MARK

_PATIENCE = 120  # seconds; the first run on a GPU may compile its kernels


def ask(*words: str) -> dict[str, Any]:
    """Return what ``child`` says; ``error`` says why it says nothing, ``log`` is what was printed beside."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rsp_onnx.doctor.child", *words], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", env=environment, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"it did not answer within {_PATIENCE} seconds", "log": ""}
    answer = next((line for line in reversed(done.stdout.splitlines()) if line.startswith(MARK)), None)
    if answer is not None:
        return {**json.loads(answer.removeprefix(MARK)), "log": done.stderr}
    return {"error": _how_it_ended(done.returncode), "log": done.stderr}


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"the process that tried ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ": it is built for a newer processor" if name == "SIGILL" else ""
    return f"the process that tried was ended by {name}{hint}"


def library_missed(log: str) -> str:
    """Return what ONNX Runtime logs of a library that it could not load; empty where it logs none."""
    found = re.search(r"Failed to load library .*? with error: (.+)", log)
    return found[1].strip() if found else ""
