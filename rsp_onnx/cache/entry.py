"""What is kept under one key: facts as JSON, and files, each with the sum of what was written."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FACTS = "entry.json"
_CHUNK = 1 << 22


class BrokenEntryError(Exception):
    """An entry is not what was written: cut off, changed, or gone while it was read."""


@dataclass(frozen=True)
class Entry:
    """What is kept under one key.

    Attributes
    ----------
    about : dict
        What a person should read of it.
    facts : dict
        What its reader needs.
    files : dict
        By name, the size and the CRC-32 of every further file.
    """

    folder: Path
    about: dict[str, Any]
    facts: dict[str, Any]
    files: dict[str, list[int]]

    def read(self, name: str) -> bytes:
        """Return a file's bytes; BrokenEntryError where they are not those that were written."""
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise BrokenEntryError(str(error)) from error
        if [len(data), zlib.crc32(data)] != self.files.get(name):
            raise BrokenEntryError(f"{name} was changed")
        return data

    def check(self) -> None:
        """Raise BrokenEntryError where a file is not the one that was written."""
        for name, wanted in self.files.items():
            try:
                found = _summed(self.folder / name)
            except OSError as error:
                raise BrokenEntryError(str(error)) from error
            if found != wanted:
                raise BrokenEntryError(f"{name} was changed")


def describe(folder: Path, about: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write what is said of a folder's files, as the last of them."""
    files = {path.name: _summed(path) for path in sorted(folder.iterdir())}
    said = {"about": dict(about), "facts": dict(facts), "files": files}
    text = json.dumps({**said, "sum": _sum_of(said)}, ensure_ascii=False)
    (folder / FACTS).write_text(text, encoding="utf-8", errors="surrogatepass")


def opened(folder: Path) -> Entry:
    """Read what is said of an entry; its files are looked at when they are read.

    Raises
    ------
    OSError
        There is none.
    BrokenEntryError
        It is cut off or was changed.
    """
    text = (folder / FACTS).read_text(encoding="utf-8", errors="surrogatepass")
    try:
        said = json.loads(text)
        wanted = said.pop("sum")
        found = Entry(folder, said["about"], said["facts"], said["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenEntryError(f"{FACTS} was changed") from error
    if _sum_of(said) != wanted:
        raise BrokenEntryError(f"{FACTS} was changed")
    return found


def _sum_of(said: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(said, sort_keys=True, ensure_ascii=True).encode())


def _summed(path: Path) -> list[int]:
    size, total = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, total = size + len(chunk), zlib.crc32(chunk, total)
    return [size, total]
