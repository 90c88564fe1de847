"""Loading: a path, bytes or a ModelProto becomes a checked model in memory, whatever its size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.files import hash_file
from rsp_onnx.model.file.read import read
from rsp_onnx.model.file.take_weights import Taken, filled

from .session import Session
from .weights import LARGE_WEIGHT, external_files, is_large, load_external
from .zipmap import drop_maps

ModelSource: TypeAlias = "str | Path | bytes | onnx.ModelProto"
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
_CHUNK = 1 << 24
_UNKNOWN_OP = "No Op registered for"
_DEPRECATED = "is deprecated in domain_version"  # GroupNormalization of opset 18 is, and the runtime has it


@dataclass(frozen=True)
class Model:
    """A model as it was deployed, with what its file tells about itself.

    Attributes
    ----------
    ir : onnx_ir.Model
        The model; weights in external files are mapped, not read.
    sha256 : str
        Of the file, followed by its external data files in the order of their names.
    path : Path or None
        The file it came from.
    file_sha256 : str
        Of the file alone.
    external : tuple of str
        The external data files, from the file's folder.
    """

    ir: ir.Model
    sha256: str
    path: Path | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    producer: str = ""
    file_sha256: str = ""
    external: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What to call the model in a message."""
        return str(self.path) if self.path else "the model"


def load_model(source: ModelSource) -> Model:
    """Read and check a model.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        External data is looked for beside the file, so a model with external data needs a path.

    Raises
    ------
    BadModel
        The source is not a valid ONNX model, its weights are missing, outside its folder or NaN.
    """
    path = Path(source) if isinstance(source, (str, Path)) else None
    title = str(path) if path else "the model"
    proto, taken, digest = read(source, title)
    notes = drop_maps(proto) if any(node.op_type == "ZipMap" for node in proto.graph.node) else {}
    own, external = digest.hexdigest(), external_files(proto, path)
    for data in external:
        hash_file(digest, data)
    model = _deserialize(proto, title)
    if path:
        ir.external_data.set_base_dir(model.graph, path.parent)
        load_external(model, LARGE_WEIGHT if is_large(model) else math.inf)
    _unpack(model, taken, title)
    _check(model, title)
    _check_weights(model, title)
    metadata = notes | {p.key: p.value for p in proto.metadata_props}
    names = tuple(str(data.relative_to(path.parent.resolve())) for data in external) if path else ()
    return Model(model, digest.hexdigest(), path, metadata, proto.producer_name, own, names)


def _unpack(model: ir.Model, taken: Taken, title: str) -> None:
    """Give the weights memory of their own: a protobuf copies them at every reading, and lives as long as they do."""
    for value in (v for graph in model.graphs() for v in graph.initializers.values()):
        if isinstance(value.const_value, ir.TensorProtoTensor):
            value.const_value = _unpacked(value.const_value, taken, title)
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute, ir.Attr) and isinstance(attribute.value, ir.TensorProtoTensor):
                node.attributes[name] = ir.AttrTensor(name, _unpacked(attribute.value, taken, title))


def _unpacked(tensor: ir.TensorProtoTensor, taken: Taken, title: str) -> ir.TensorProtocol:
    try:
        return tensor if tensor.dtype == ir.DataType.STRING else filled(tensor, taken)
    except (ValueError, TypeError) as error:
        raise BadModel(f"The weight {tensor.name!r} of {title} is damaged: {error}; export the model again.") from error


def _deserialize(proto: onnx.ModelProto, title: str) -> ir.Model:
    try:
        return ir.from_proto(proto)
    except Exception as error:  # onnx_ir raises several unrelated types for broken graphs
        raise BadModel(f"{title} is not a valid ONNX model: {_root(error)}.") from error


def _root(error: BaseException) -> str:
    """Return the first line of an error's first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = (line.strip() for line in str(error).splitlines() if line.strip())
    return next(lines, "no reason given").rstrip(".")


def _check(model: ir.Model, title: str) -> None:
    """Run ONNX's checker on the structure; the weights are left out, so size does not matter."""
    from onnx_ir.passes.common import CheckerPass, TopologicalSortPass

    try:
        TopologicalSortPass()(model)  # ONNX Runtime takes any order, and some tools write one
        CheckerPass()(model)
    except Exception as error:  # the checker raises several unrelated types
        if (_UNKNOWN_OP in str(error) or _DEPRECATED in str(error)) and _runs(model):
            return
        raise BadModel(f"{title} is not a valid ONNX model: {_root(error)}.") from error


def _runs(model: ir.Model) -> bool:
    """Tell whether ONNX Runtime loads the model: what it saves may hold ops that its opset has later only."""
    try:
        Session(model, "cpu")
    except BadModel:
        return False
    return True


def _check_weights(model: ir.Model, title: str) -> None:
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.dtype not in FLOATS:
            continue
        if _has_nan(tensor):
            raise BadModel(
                f"The weight {value.name!r} of {title} contains NaN; no explanation can be computed: "
                "export the model again from a healthy checkpoint."
            )


def _has_nan(tensor: ir.TensorProtocol) -> bool:
    flat = tensor.numpy().reshape(-1)
    step = _CHUNK // 4
    chunks = (flat[start : start + step] for start in range(0, flat.size, step))
    return any(bool(np.isnan(c.astype(np.float32) if c.dtype == ml_dtypes.bfloat16 else c).any()) for c in chunks)
