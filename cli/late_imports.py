"""Libraries that others import and hardly ever use: executed when something of them is first asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

# onnx_ir reckons with symbolic sizes by SymPy, which is 400 modules; a model's own sizes it only reads
LATE = ("sympy", "onnx_ir._symbolic_shapes")


class _Late(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target) if name in LATE else None
        if found is not None and found.loader is not None:
            found.loader = LazyLoader(found.loader)
        return found


def import_late() -> None:
    """Make this process execute the modules of ``LATE`` at their first use, where they are not imported already.

    For a command's own process only: a library leaves imports alone.
    """
    if not any(isinstance(finder, _Late) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Late())
