"""What must be the same for a kept model to be the one that would be compiled now."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import rsp_onnx

_PACKAGES = ("onnx", "onnx-ir", "numpy", "networkx", "protobuf")
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_OF_PROCESSOR = ("model name", "flags", "Features", "CPU implementer", "CPU part")  # lines of /proc/cpuinfo


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the sha256 of what JSON says of the parts, keys in order."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=1)
def surroundings() -> Mapping[str, Any]:
    """Return what a compiled model depends on beside the model and the settings: versions, sources, the machine."""
    return {
        "rsp_onnx": rsp_onnx.__version__, "python": sys.version, "packages": _versions(), "sources": _sources(),
        "machine": [sys.platform, platform.machine(), sys.byteorder, _processor()],
    }  # fmt: skip


def _versions() -> dict[str, str]:
    found = {}
    for name in (*_PACKAGES, *_RUNTIMES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # one of the runtimes is there, or one built by hand
            found[name] = ""
    return found


def _sources() -> str:
    """Return a fingerprint of the package's own files, by size and time: a developer's change is seen at once."""
    digest = hashlib.sha256()
    inside = Path(rsp_onnx.__file__).parent
    rules = inside / "rules" if (inside / "rules").is_dir() else inside.parent / "rules"
    for path, size, time in sorted({*_files(inside), *_files(rules)}):
        digest.update(f"{path}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as found:
        for one in found:
            if one.is_dir(follow_symlinks=False):
                yield from _files(Path(one.path))
            elif one.name.endswith(".py"):
                status = one.stat()
                yield one.path, status.st_size, status.st_mtime_ns


def _processor() -> list[str]:
    """Return which processor this is and what it can do: ONNX Runtime optimises for that."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = [line.strip() for line in _paragraph(file)]
        return [line for line in first if line.partition(":")[0].strip() in _OF_PROCESSOR]
    except OSError:
        return [platform.processor()]


def _paragraph(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.strip():
            return
        yield line
