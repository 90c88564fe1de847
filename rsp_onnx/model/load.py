"""Loading: a path, bytes or a ModelProto becomes a checked model in memory, whatever its size."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from rsp_onnx.errors import BadModel

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
    raw = _read(path) if path else source
    title, notes = str(path) if path else "the model", dict[str, str]()
    if isinstance(raw, onnx.ModelProto):
        proto, digest = raw, hashlib.sha256(serialised(raw))
    else:
        assert isinstance(raw, bytes)
        proto, digest = _parse(raw, title), hashlib.sha256(raw)
    if any(node.op_type == "ZipMap" for node in proto.graph.node):
        proto = copy.deepcopy(proto) if proto is source else proto
        notes = drop_maps(proto)
    own, external = digest.hexdigest(), external_files(proto, path)
    for data in external:
        _hash_file(digest, data)
    model = _deserialize(proto, title)
    if path:
        ir.external_data.set_base_dir(model.graph, path.parent)
        load_external(model, LARGE_WEIGHT if is_large(model) else math.inf)
    _unpack(model, title)
    _check(model, title)
    _check_weights(model, title)
    metadata = notes | {p.key: p.value for p in proto.metadata_props}
    names = tuple(str(data.relative_to(path.parent.resolve())) for data in external) if path else ()
    return Model(model, digest.hexdigest(), path, metadata, proto.producer_name, own, names)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadModel(f"There is no file {path}; give the path of an .onnx file.") from None
    except IsADirectoryError:
        raise BadModel(f"{path} is a folder; give the path of an .onnx file.") from None
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror or error}.") from error


def _parse(raw: bytes, title: str) -> onnx.ModelProto:
    if not raw:
        raise BadModel(f"{title} is empty; export the model again.")
    hint = "it is not an ONNX file, or it was cut off; copy or export it again"
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(raw)
    except DecodeError:
        raise BadModel(f"{title} cannot be read as a model: {hint}.") from None
    if not proto.graph.node or not proto.graph.output:
        raise BadModel(f"{title} holds no graph: {hint}.")
    return proto


def serialised(proto: onnx.ModelProto) -> bytes:
    """Return a model as bytes, the same for the same model; BadModel above 2 GiB."""
    try:
        return bytes(proto.SerializeToString(deterministic=True))
    except (ValueError, OSError) as error:  # above 2 GiB protobuf refuses
        raise BadModel("The model is above 2 GiB in memory; save it with external data and give its path.") from error


def _hash_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _unpack(model: ir.Model, title: str) -> None:
    """Take the weights out of the protobuf, which copies them at every reading and lives as long as one of them."""
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.TensorProtoTensor):
            value.const_value = _unpacked(value.const_value, title)
    for node in model.graph:
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute, ir.Attr) and isinstance(attribute.value, ir.TensorProtoTensor):
                node.attributes[name] = ir.AttrTensor(name, _unpacked(attribute.value, title))


def _unpacked(tensor: ir.TensorProtoTensor, title: str) -> ir.TensorProtocol:
    if tensor.dtype == ir.DataType.STRING:
        return tensor
    try:
        return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
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
