"""Libraries of custom ops that users bring: every session loads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from rsp_onnx.errors import BadInput, said

_libraries: list[str] = []


def register_custom_ops(library: str | Path) -> None:
    """Let every session from now on load a shared library of custom ops, such as one built for ONNX Runtime.

    Raises
    ------
    BadInput
        There is no such file, or ONNX Runtime cannot load it.
    """
    path = str(library)
    if path in _libraries:
        return
    if not Path(path).is_file():
        raise BadInput(f"There is no library of custom ops {path}.")
    try:
        ort.SessionOptions().register_custom_ops_library(path)
    except Exception as error:  # ONNX Runtime raises its own unrelated types
        raise BadInput(
            f"ONNX Runtime cannot load the custom ops in {path}: {said(error)}; "
            "it needs a shared library that exports RegisterCustomOps, built for this platform."
        ) from error
    _libraries.append(path)


def custom_op_libraries() -> Sequence[str]:
    """Return the libraries registered so far."""
    return tuple(_libraries)


def library_digests() -> list[str]:
    """Return the sha256 of every library registered so far."""
    return [hashlib.sha256(Path(library).read_bytes()).hexdigest() for library in _libraries]
