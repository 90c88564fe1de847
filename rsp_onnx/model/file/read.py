"""From a path, bytes or a message to a parsed model without its large weights, and its sha256."""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from rsp_onnx.errors import BadModel

from .source import DamagedFileError, Source
from .take_weights import Taken, take_weights

_HINT = "it is not an ONNX file, or it was cut off; copy or export it again"


def read(source: str | Path | bytes | onnx.ModelProto, title: str) -> tuple[onnx.ModelProto, Taken, hashlib._Hash]:
    """Return the message, what was taken out of it, and the sha256 of the file; of a message, of what it would be.

    Raises
    ------
    BadModel
        It cannot be read, or is no model.
    """
    if isinstance(source, onnx.ModelProto):
        return read(serialised(source), title)
    with _opened(source) as file:
        if not file.size:
            raise BadModel(f"{title} is empty; export the model again.")
        try:
            raw, taken = take_weights(file)
            proto = onnx.ModelProto.FromString(raw)
        except (DamagedFileError, DecodeError):
            raise BadModel(f"{title} cannot be read as a model: {_HINT}.") from None
    if not proto.graph.node or not proto.graph.output:
        raise BadModel(f"{title} holds no graph: {_HINT}.")
    return proto, taken, file.digest


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[Source]:
    """Open what is read; BadModel where that fails, now or later."""
    if isinstance(source, bytes):
        yield Source(io.BytesIO(source), len(source))
        return
    path = Path(source)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe does not know its size
            whole = path.read_bytes()
            yield Source(io.BytesIO(whole), len(whole))
            return
        with path.open("rb") as file:
            yield Source(file, status.st_size)
    except FileNotFoundError:
        raise BadModel(f"There is no file {path}; give the path of an .onnx file.") from None
    except IsADirectoryError:
        raise BadModel(f"{path} is a folder; give the path of an .onnx file.") from None
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror or error}.") from error


def serialised(proto: onnx.ModelProto) -> bytes:
    """Return a model as bytes, the same for the same model; BadModel above 2 GiB."""
    try:
        return bytes(proto.SerializeToString(deterministic=True))
    except (ValueError, OSError) as error:  # above 2 GiB protobuf refuses
        raise BadModel("The model is above 2 GiB in memory; save it with external data and give its path.") from error
