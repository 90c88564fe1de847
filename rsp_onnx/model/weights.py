"""Weights in files beside the model: found, checked, and read only from the model's own folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from rsp_onnx.errors import BadModel

LARGE_WEIGHT = 1 << 16  # of a large model, weights above this are handed to the session in memory
_INLINE_LIMIT = 1 << 30  # a serialised protobuf must stay below 2 GiB; half of it is a safe margin


def external_files(proto: onnx.ModelProto, path: Path | None) -> list[Path]:
    """Return the external data files; each must lie in the model's folder and be long enough."""
    files: set[Path] = set()
    for tensor in onnx.external_data_helper._get_all_tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        info = {entry.key: entry.value for entry in tensor.external_data}
        if path is None:
            raise BadModel(f"The weight {tensor.name!r} lies in an external file; give the model's path instead.")
        files.add(_external_file(tensor, info, path))
    return sorted(files)


def named_data_files(path: Path) -> list[Path]:
    """Return the external data files a model names, whether they are there or not; none of what is no model."""
    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception:  # protobuf raises unrelated types; whoever loads the model says what is wrong
        return []
    tensors = onnx.external_data_helper._get_all_tensors(proto)
    external = (t.external_data for t in tensors if t.data_location == onnx.TensorProto.EXTERNAL)
    return sorted({path.parent / e.value for entries in external for e in entries if e.key == "location"})


def _external_file(tensor: onnx.TensorProto, info: dict[str, str], path: Path) -> Path:
    name, location = tensor.name, info.get("location", "")
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
        raise BadModel(
            f"The weight {name!r} of {path} points to {location!r}, outside the model's folder; "
            "this is refused: put the data file beside the model and export it again."
        )
    if not file.is_file():
        raise BadModel(
            f"The external data file {location!r} of {path} is missing; copy it beside the model "
            "(both files belong together)."
        )
    if file.stat().st_size < _external_end(tensor, info, path):
        raise BadModel(
            f"The external data file {location!r} of {path} is too short for the weight {name!r}: "
            "it was cut off; copy it again."
        )
    return file


def _external_end(tensor: onnx.TensorProto, info: dict[str, str], path: Path) -> int:
    """Return the byte in the data file behind a weight's last one."""
    words = [info.get("offset") or "0", info.get("length") or "0"]
    if not all(w.isdecimal() for w in words):
        raise BadModel(f"The weight {tensor.name!r} of {path} has no valid place in its data file; export it again.")
    offset, length = map(int, words)
    try:
        bits = ir.DataType(tensor.data_type).bitwidth * int(np.prod(tensor.dims, dtype=np.int64))
    except (ValueError, TypeError):  # no such type, or one without a size: ONNX's checker says more
        return offset + length
    needed = -(-bits // 8)
    if length and length < needed:
        raise BadModel(f"The weight {tensor.name!r} of {path} needs {needed} bytes, its data file gives {length}.")
    return offset + needed


def load_external(model: ir.Model, most: float) -> None:
    """Read external weights of at most so many bytes; the session takes the others straight from their file."""
    for value in (v for graph in model.graphs() for v in graph.initializers.values()):
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and tensor.nbytes <= most:
            value.const_value = ir.tensor(tensor.numpy().copy(), tensor.dtype, name=value.name)
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute, ir.Attr) and isinstance(attribute.value, ir.ExternalTensor):
                tensor = attribute.value
                node.attributes[name] = ir.AttrTensor(name, ir.tensor(tensor.numpy().copy(), tensor.dtype))


def is_large(model: ir.Model, limit: int = _INLINE_LIMIT) -> bool:
    """Tell whether the weights take more bytes than a limit; by default, too many for one serialised protobuf."""
    sizes = (v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    return sum(sizes) > limit
