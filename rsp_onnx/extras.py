"""Libraries that come with an extra: brought in when they are needed, missed in one sentence that says for what."""

from __future__ import annotations

import importlib
from typing import Any

from rsp_onnx.errors import BadInput

EXTRA_OF = {  # as pyproject.toml has them
    "pyarrow": "eval", "scipy": "eval", "scikit-image": "eval", "pycocotools": "eval", "scikit-learn": "audit",
    "ray": "ray",
}  # fmt: skip
_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}  # where the name to import is not that to install


def need(module: str, purpose: str) -> Any:
    """Import a module of an optional dependency.

    Parameters
    ----------
    purpose : str
        What needs it, as the beginning of a sentence: ``The audit``.

    Raises
    ------
    BadInput
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(module, purpose) from error


def missing(module: str, purpose: str) -> BadInput:
    """Return the error that names the package, what needs it, and the extra it comes with."""
    name = module.partition(".")[0]
    package = _PACKAGES.get(name, name)
    extra = EXTRA_OF.get(package)
    install = f'"rsp-onnx[{extra}]"' if extra else package
    return BadInput(f"{purpose} needs {package}, which is not installed: pip install {install}.")
