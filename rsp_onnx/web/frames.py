"""Frames: JSON and arrays in one stream, as web/README.md has them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from rsp_onnx.types import Array

_DTYPES = {"float32": "<f4", "uint8": "|u1"}  # what the page reads, little-endian
_EACH = 4  # every array is padded to a multiple of so many bytes


def frame(said: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> bytes:
    """Write one frame.

    Parameters
    ----------
    said : mapping
        JSON-ready; where an array belongs stands ``{"array": name}``.
    arrays : mapping, optional
        By name, float32 or uint8.

    Returns
    -------
    bytes
        4 bytes length of the header and 4 of the payload, little-endian; the header, JSON in UTF-8 with the arrays'
        names, dtypes and shapes under ``arrays``; the payload, the arrays one behind the other.

    Raises
    ------
    TypeError
        An array has another dtype.
    ValueError
        A number is NaN or infinite, or there are more than 4 GiB.
    """
    given = arrays or {}
    facts = [{"name": name, "dtype": _dtype(x), "shape": list(x.shape)} for name, x in given.items()]
    whole = {**said, "arrays": facts} if arrays is not None else said
    header = json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    payload = b"".join(_padded(x) for x in given.values())
    try:
        return struct.pack("<II", len(header), len(payload)) + header + payload
    except struct.error:
        raise ValueError("A frame holds at most 4 GiB.") from None


class Arrays:
    """Collects the arrays of a frame while what is said beside them is made."""

    def __init__(self) -> None:
        self.held: dict[str, Array] = {}

    def put(self, array: Array) -> dict[str, str]:
        """Keep an array as float32 (uint8 stays); return what stands in its place."""
        name = f"a{len(self.held)}"
        self.held[name] = array if array.dtype == np.uint8 else np.asarray(array, np.float32)
        return {"array": name}

    def shaped(self, array: Array) -> dict[str, Any]:
        """Keep an array; return its shape and values, as ``RelevanceMap`` of the page."""
        return {"shape": list(array.shape), "values": self.put(array)}


def _dtype(array: Array) -> str:
    name = str(array.dtype.newbyteorder("=").name)
    if name not in _DTYPES:
        raise TypeError(f"A frame holds float32 and uint8, not {name}.")
    return name


def _padded(array: Array) -> bytes:
    raw = np.ascontiguousarray(array, _DTYPES[_dtype(array)]).tobytes()
    return raw + bytes(-len(raw) % _EACH)
