"""The cache as explainers use it: what is kept is read, and what cannot be read is as if it were not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rsp_onnx.cache.entry import BrokenEntryError, Entry
from rsp_onnx.cache.key import key_of, surroundings
from rsp_onnx.cache.store import open_store
from rsp_onnx.errors import RspError
from rsp_onnx.graph.rule_modules import others_rules
from rsp_onnx.model.custom_ops import library_digests

T = TypeVar("T")
_DAMAGED = (BrokenEntryError, RspError, OSError, KeyError, TypeError, ValueError, AttributeError)


class Draft:
    """An entry that is being written, file by file, into a folder; without ``finish`` it is not kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] | None = None
        self.failure: OSError | None = None

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        try:
            (self.folder / name).write_bytes(data)
        except OSError as error:
            self.failure = error

    def finish(self, facts: Mapping[str, Any] | None) -> None:
        """Say what the entry's reader needs beside the files; None where a file could not be written."""
        self.facts = None if facts is None else dict(facts)
        if facts is None:
            self.failure = OSError("ONNX Runtime cannot write a model there")


class Shelf:
    """The cache, or nothing where it is switched off.

    Rules that are not this package's are any Python code, which no key can hold: where there are such, nothing is read
    and nothing is kept.
    """

    def __init__(self, wanted: bool) -> None:
        self._store = open_store() if wanted else None

    def read(self, parts: Mapping[str, Any], load: Callable[[Entry], T]) -> T | None:
        """Return what was kept under these parts of a key; None where there is nothing. A damaged entry is dropped."""
        if self._store is None or others_rules():
            return None
        key = _key(parts)
        entry = self._store.get(key)
        if entry is None:
            return None
        try:
            return load(entry)
        except _DAMAGED:
            self._store.drop(key)
            return None

    @contextmanager
    def write(self, parts: Mapping[str, Any], about: Mapping[str, str]) -> Iterator[Draft | None]:
        """Give a draft that is kept under these parts of a key when it is finished; None where nothing is kept."""
        if self._store is None or others_rules():
            yield None
            return
        with self._store.draft() as folder:
            draft = None if folder is None else Draft(folder)
            yield draft
            if draft is not None and draft.failure is not None:
                self._store.say(draft.failure)
            elif draft is not None and draft.facts is not None:
                self._store.keep(draft.folder, _key(parts), about, draft.facts)


def _key(parts: Mapping[str, Any]) -> str:
    return key_of({**surroundings(), "custom ops": library_digests(), "parts": parts})
