"""What other libraries are for; those that only an evaluation needs are missed in one sentence."""

from __future__ import annotations

import importlib
from typing import Any

from rsp_onnx.errors import BadInput

_PACKAGES = {"skimage": "scikit-image"}  # where the name to import is not the name to install
PURPOSES = {  # by the name to install; what doctor says of each
    "onnx": "the file format", "onnx-ir": "the model in memory", "numpy": "arrays", "networkx": "the graph",
    "onnxruntime": "running the explanation", "onnxruntime-gpu": "running the explanation", "click": "the command line",
    "pillow": "photographs and pictures", "matplotlib": "pictures, which rsp-onnx explain draws", "tomli": "TOML files",
    "pyarrow": "rows of a run as Parquet", "scipy": "rank correlation, distances to a mask",
    "scikit-image": "SSIM, Otsu's threshold", "pycocotools": "COCO's own masks", "jinja2": "report.html",
    "scikit-learn": "clusters of a class's maps", "ray": "an evaluation on a cluster",
}  # fmt: skip
EXTRAS = {"eval": "rsp-onnx evaluate, and HTML reports", "audit": "rsp-onnx audit", "ray": "evaluations on a cluster"}


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
