"""What users bring: rules for ops of their own domains, and the libraries that run such ops."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import onnxruntime as ort

from .errors import BadInput

ENTRY_POINTS = "rsp_onnx.rules"
_libraries: list[str] = []


def load_rules(path: str | Path) -> None:
    """Load a Python file whose ``@rule`` and ``@vjp`` functions handle ops of a user's own domain.

    A file is loaded once. Packages need no call: they name a module as an entry point of the group ``rsp_onnx.rules``.

    Raises
    ------
    BadInput
        There is no such file, it fails when it is run, or it registers an op that has a rule already.
    """
    importlib.import_module("rsp_onnx.rules")  # first, so that a clash is told of the user's rule
    file = Path(path).resolve()
    name = f"rsp_onnx_user_rules_{abs(hash(file)):x}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise BadInput(f"There is no Python file {path} to load rules from.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # it is the user's code: anything may happen
        del sys.modules[name]
        raise BadInput(f"The rules in {path} cannot be loaded: {_said(error)}.") from error


def load_packaged_rules() -> None:
    """Load the rules that installed packages offer as entry points of the group ``rsp_onnx.rules``.

    Raises
    ------
    BadInput
        One of them cannot be loaded.
    """
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as error:  # it is another package's code: anything may happen
            package = entry.dist.name if entry.dist is not None else entry.name
            raise BadInput(
                f"The rules of the installed package {package!r} ({entry.value}) cannot be loaded: {_said(error)}; "
                "update or uninstall it."
            ) from error


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
            f"ONNX Runtime cannot load the custom ops in {path}: {_said(error)}; "
            "it needs a shared library that exports RegisterCustomOps, built for this platform."
        ) from error
    _libraries.append(path)


def custom_op_libraries() -> Sequence[str]:
    """Return the libraries registered so far."""
    return tuple(_libraries)


def _said(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0].rstrip('.')}" if text else type(error).__name__
