"""The runtime with its providers, the processor's cores, and the cache."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from rsp_onnx.cache.place import cache_folder, size_limit
from rsp_onnx.cache.report import cache_report
from rsp_onnx.errors import BadInput

from .ask import ask, library_missed
from .packages import RUNTIMES, installed

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def runtime() -> dict[str, Any]:
    """Return what is known of ONNX Runtime.

    Returns
    -------
    dict
        ``packages`` (name to version, of those installed), ``version`` and ``error`` (one of them None), ``providers``
        (``name``, ``works``, ``why``), ``cuda`` (``built_for`` and ``cudnn``, versions or None), None for a build
        without CUDA.
    """
    packages = {name: version for name in RUNTIMES if (version := installed(name))}
    told = ask("runtime")
    if "error" in told:
        return {"packages": packages, "version": None, "error": told["error"], "providers": [], "cuda": None}
    providers = [_provider(name) for name in told["providers"]]
    cuda = {"built_for": told["built_for_cuda"], "cudnn": told["cudnn"]} if CUDA in told["providers"] else None
    return {"packages": packages, "version": told["version"], "error": None, "providers": providers, "cuda": cuda}


def _provider(name: str) -> dict[str, Any]:
    told = ask("probe", name)
    why = told.get("error") or told["why"]
    return {"name": name, "works": not why, "why": (library_missed(told["log"]) or why) if why else ""}


def threads() -> dict[str, int]:
    """Return how many cores there are, and how many of them this process may use."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return {"cores": cores, "usable": usable}


def cache() -> dict[str, Any]:
    """Return where explainers are kept; ``folder`` is None where they are not, ``error`` says what is in the way."""
    folder = cache_folder()
    try:
        limit = size_limit()
    except BadInput as error:
        return {"folder": None if folder is None else str(folder), "bytes": 0, "limit": 0, "error": str(error)}
    if folder is None:
        return {"folder": None, "bytes": 0, "limit": 0, "error": ""}
    hindrance = "" if _is_writable(folder) else "it cannot be written, so every explainer is compiled anew"
    return {"folder": str(folder), "bytes": cache_report()["bytes"], "limit": limit, "error": hindrance}


def _is_writable(folder: Path) -> bool:
    """Tell whether files can be made in a folder, or the folder where there is none; nothing is written."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def system() -> dict[str, str]:
    """Return the versions of Python and of the system."""
    return {"python": platform.python_version(), "system": platform.platform(terse=True), "machine": platform.machine()}
