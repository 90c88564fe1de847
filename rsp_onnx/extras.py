"""Libraries that only an evaluation needs: brought in when they are needed, missed in one sentence."""

from __future__ import annotations

import importlib
from typing import Any

from rsp_onnx.errors import BadInput

_PACKAGES = {"skimage": "scikit-image"}  # where the name to import is not the name to install


def need(module: str) -> Any:
    """Import a module of an optional dependency.

    Raises
    ------
    BadInput
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise BadInput(
            f"This evaluation needs {_PACKAGES.get(package, package)}, which is not installed: "
            'pip install "rsp-onnx[eval]".'
        ) from error
