"""Taking large weights out of a serialised model, so that they are never in memory twice.

Protobuf reads a file whole, copies every weight into its message, and onnx_ir copies it once more. Here the file is
walked field by field: what is small is handed on as it is, ``raw_data`` that is large goes straight into an array, and
a mark stands in its place until ``filled`` puts the array into the model in memory.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from .source import DamagedFileError, Source, varint

LARGE = 1 << 16  # bytes; what is smaller is parsed as it is
_DEEP = 100  # messages inside messages, as many as protobuf itself reads
_FOLLOWED = ("graph", "node", "initializer", "attribute", "t", "g")  # fields on the way to a tensor with ``raw_data``
_NUMBER, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # protobuf's wire types
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


@dataclass
class Taken:
    """What was taken out.

    Attributes
    ----------
    mark : bytes
        Stands, with the weight's number, where its bytes were. No file can know it.
    weights : list of ndarray
        uint8 [bytes], as they lay in the file.
    """

    mark: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    weights: list[np.ndarray] = field(default_factory=list)

    def put(self, weight: np.ndarray) -> bytes:
        """Keep a weight; return what stands in its place."""
        self.weights.append(weight)
        return self.mark + (len(self.weights) - 1).to_bytes(8, "little")

    def get(self, raw: bytes) -> np.ndarray | None:
        """Return the weight whose place this is, None where it is none."""
        return self.weights[int.from_bytes(raw[len(self.mark) :], "little")] if raw.startswith(self.mark) else None


def take_weights(source: Source) -> tuple[bytes, Taken]:
    """Read a serialised ModelProto to its end; return it without its large weights, and these.

    Raises
    ------
    DamagedFileError
        It is no protobuf message, or was cut off.
    """
    taken = Taken()
    return b"".join(_message(source, source.size, onnx.ModelProto.DESCRIPTOR, taken, 0)), taken


def _message(source: Source, end: int, kind: Any, taken: Taken, depth: int) -> list[bytes]:
    """Read a message that ends there; return its parts without large weights. kind: protobuf's description of it."""
    parts: list[bytes] = []
    while source.at < end:
        key, raw = source.varint()
        parts.append(raw)
        number, wire = key >> 3, key & 7
        if wire == _LENGTH:
            parts += _field(source, end, kind, number, taken, depth)
        elif wire == _NUMBER:
            parts.append(source.varint()[1])
        elif wire in _FIXED:
            parts.append(source.read(_FIXED[wire]))
        else:
            raise DamagedFileError(f"there is no wire type {wire}")
    if source.at > end:
        raise DamagedFileError("a field is longer than its message")
    return parts


def _field(source: Source, end: int, kind: Any, number: int, taken: Taken, depth: int) -> list[bytes]:
    """Read a field that says its length; return that and its bytes, shorter where a weight was taken out."""
    length, raw = source.varint()
    if length > end - source.at:
        raise DamagedFileError("a field is longer than its message")
    known = kind.fields_by_number.get(number)
    if length <= LARGE or known is None or depth >= _DEEP:
        return [raw, source.read(length)]
    if kind.full_name == onnx.TensorProto.DESCRIPTOR.full_name and known.name == "raw_data":
        place = taken.put(source.array(length))
        return [varint(len(place)), place]
    if known.name not in _FOLLOWED or known.message_type is None:
        return [raw, source.read(length)]
    parts = _message(source, source.at + length, known.message_type, taken, depth + 1)
    return [varint(sum(map(len, parts))), *parts]


def filled(tensor: ir.TensorProtoTensor, taken: Taken) -> ir.TensorProtocol:
    """Return a tensor of a parsed model with numbers of its own.

    Raises
    ------
    ValueError, TypeError
        There are more or fewer than its shape says, or it is none of numbers.
    """
    data = taken.get(tensor.raw.raw_data)
    if data is None:
        return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    if tensor.dtype.bitwidth >= 8 and sys.byteorder == "little":
        array = data.view(tensor.dtype.numpy()).reshape(tensor.raw.dims)
        return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)
    whole = onnx.TensorProto()  # half bytes lie two in one, and the bytes of others the other way round
    whole.CopyFrom(tensor.raw)
    whole.raw_data = data.tobytes()
    return ir.Tensor(ir.TensorProtoTensor(whole).numpy(), dtype=tensor.dtype, name=tensor.name)
