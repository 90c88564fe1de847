"""The modules that declare rules and facts of ops: ours, those of installed packages, files that users name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from rsp_onnx.errors import BadInput, said

ENTRY_POINTS = "rsp_onnx.rules"
_OURS = ("rsp_onnx.rules", "rsp_onnx.rewrite.expand")  # where ops are declared
_authors: set[str] = set()  # the modules that registered something


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
        raise BadInput(f"The rules in {path} cannot be loaded: {said(error)}.") from error


def note_author(module: str) -> None:
    """Note that a module registered rules or facts of ops."""
    _authors.add(module)


def others_rules() -> bool:
    """Tell whether rules may be in play that are not this package's: registered in this process, or installed."""
    registered = any(not module.startswith("rsp_onnx.") for module in _authors)
    return registered or bool(_offered())


@cache
def _offered() -> tuple[metadata.EntryPoint, ...]:
    """Return what installed packages name."""
    return tuple(metadata.entry_points(group=ENTRY_POINTS))


@cache
def load_all_rules() -> None:
    """Load our own rules, and those that installed packages offer as entry points of the group ``rsp_onnx.rules``.

    Raises
    ------
    BadInput
        One of them cannot be loaded.
    """
    for module in _OURS:
        importlib.import_module(module)
    for entry in _offered():
        try:
            entry.load()
        except Exception as error:  # it is another package's code: anything may happen
            package = entry.dist.name if entry.dist is not None else entry.name
            raise BadInput(
                f"The rules of the installed package {package!r} ({entry.value}) cannot be loaded: {said(error)}; "
                "update or uninstall it."
            ) from error
