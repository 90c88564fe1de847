"""What other libraries are for; those that come with an extra are missed in one sentence that says for what."""

from __future__ import annotations

import importlib
from typing import Any

from rsp_onnx.errors import BadInput

EXTRA_OF = {  # as pyproject.toml has them
    "pyarrow": "eval", "scipy": "eval", "scikit-image": "eval", "pycocotools": "eval", "scikit-learn": "audit",
    "ray": "ray", "starlette": "web", "uvicorn": "web",
}  # fmt: skip
_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}  # where the name to import is not that to install
PURPOSES = {  # by the name to install; what doctor says of each
    "onnx": "the file format", "onnx-ir": "the model in memory", "numpy": "arrays", "networkx": "the graph",
    "onnxruntime": "running the explanation", "onnxruntime-gpu": "running the explanation", "click": "the command line",
    "pillow": "photographs and pictures", "matplotlib": "pictures, which rsp-onnx explain draws", "tomli": "TOML files",
    "pyarrow": "rows of a run as Parquet", "scipy": "rank correlation, distances to a mask",
    "scikit-image": "SSIM, Otsu's threshold", "pycocotools": "COCO's own masks", "jinja2": "HTML reports",
    "scikit-learn": "clusters of a class's maps", "ray": "an evaluation on a cluster",
    "starlette": "the page's addresses", "uvicorn": "the page's server",
}  # fmt: skip
EXTRAS = {
    "eval": "rsp-onnx evaluate",
    "audit": "rsp-onnx audit",
    "ray": "evaluations on a cluster",
    "web": "rsp-onnx serve",
}


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
