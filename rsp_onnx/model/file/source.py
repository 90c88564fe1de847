"""Bytes that are read once and in order, and hashed on the way."""

from __future__ import annotations

import hashlib
from io import BufferedIOBase

import numpy as np

_CHUNK = 1 << 20  # hashed while it is still in the processor's cache
_VARINT = 10  # bytes of the longest one


class DamagedFileError(Exception):
    """The bytes are no protobuf message, or they end too early."""


class Source:
    """An open file with the sha256 of what was read of it.

    Parameters
    ----------
    file : buffered binary file
    size : int
        How many bytes it holds; a length that a file only claims is never allocated.

    Raises
    ------
    DamagedFileError
        By its methods, where less is left than was asked for.
    """

    def __init__(self, file: BufferedIOBase, size: int) -> None:
        self._file, self.size, self.at = file, size, 0
        self.digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        data = self._file.read(count) if count <= self.size - self.at else b""
        if len(data) != count:
            raise DamagedFileError("it ends too early")
        self.digest.update(data)
        self.at += count
        return data

    def array(self, count: int) -> np.ndarray:
        """Return the next bytes as uint8 [count], in memory of their own that is aligned for every dtype."""
        if count > self.size - self.at:
            raise DamagedFileError("it ends too early")
        array = np.empty(count, np.uint8)
        for start in range(0, count, _CHUNK):
            part = array[start : start + _CHUNK].data
            if self._file.readinto(part) != len(part):
                raise DamagedFileError("it ends too early")
            self.digest.update(part)
        self.at += count
        return array

    def varint(self) -> tuple[int, bytes]:
        """Return the next number of variable length, and the bytes it was written in."""
        value, raw = 0, b""
        for place in range(_VARINT):
            raw += self.read(1)
            value |= (raw[-1] & 0x7F) << (7 * place)
            if raw[-1] < 0x80:
                return value, raw
        raise DamagedFileError("a number does not end")


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    raw = bytearray()
    while value >= 0x80:
        raw.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*raw, value])
