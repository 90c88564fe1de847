"""Write a finished .onnx file: batch named, metadata in, checked, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import onnx


def save(model: onnx.ModelProto, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a model.

    Parameters
    ----------
    model : onnx.ModelProto
        The model; its batch dimension is renamed to "N", its metadata replaced.
    path : Path
        Where to.
    metadata : mapping of str to str
        The metadata_props.
    """
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    onnx.save(model, temporary)
    temporary.replace(path)
