"""What is tried in a process of its own, since a broken runtime may end it: importing, and running a provider.

``python -m rsp_onnx.doctor.child import MODULE``, ``... runtime`` and ``... probe PROVIDER`` print JSON on a line that
begins with ``MARK``.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

MARK = "rsp-onnx doctor: "
_CUDNN = ("libcudnn.so.9", "cudnn64_9.dll", "libcudnn.so.8", "cudnn64_8.dll")


def imported(module: str) -> dict[str, Any]:
    """Import a module."""
    importlib.import_module(module)
    return {}


def runtime() -> dict[str, Any]:
    """Say what ONNX Runtime this is; ``cudnn`` is its version, None where it cannot be loaded."""
    import onnxruntime as ort

    providers = list(ort.get_available_providers())
    cuda = str(getattr(ort, "cuda_version", "") or "")
    told = {"version": ort.__version__, "providers": providers, "built_for_cuda": cuda or None}
    return {**told, "cudnn": _cudnn(ort) if any("CUDA" in name for name in providers) else None}


def _cudnn(ort: Any) -> str | None:
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds one installed by pip
    for name in _CUDNN:
        try:
            number = int(ctypes.CDLL(name).cudnnGetVersion())
        except (OSError, AttributeError):
            continue
        whole, rest = divmod(number, 10_000 if number >= 90_000 else 1000)
        return f"{whole}.{rest // 100}.{rest % 100}"
    return None


def probe(provider: str) -> dict[str, Any]:
    """Run a Conv and a MaxPool; ``why`` says why that fails."""
    from rsp_onnx.devices.probe import probe as run_it

    return {"why": run_it(provider, quiet=False)}


def main(words: list[str]) -> None:
    """Do what the first word says with the rest."""
    known: dict[str, Callable[..., dict[str, Any]]] = {"import": imported, "runtime": runtime, "probe": probe}
    try:
        found = known[words[0]](*words[1:])
    except BaseException as error:  # a library that exits while it is imported is one that does not work
        text = str(error).strip()
        found = {"error": f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__}
    print(MARK + json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
