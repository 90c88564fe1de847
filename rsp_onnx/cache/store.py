"""A folder of entries by key. Processes may share it: entries appear whole, and readers live with one that goes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsp_onnx.errors import CacheWarning

from .entry import FACTS, BrokenEntryError, Entry, describe, opened
from .place import FOLDER, cache_folder, size_limit

_KEY = re.compile(r"[0-9a-f]{64}")  # what else lies in the folder is not ours
_UNFINISHED = ".rsp-onnx-"
_ABANDONED = 3600.0  # seconds after which a folder that was being written was left behind by a process that died
_said: set[Path] = set()  # folders of which it was said that they cannot be written


@dataclass(frozen=True)
class Kept:
    """An entry as a list shows it. used: seconds since the epoch."""

    folder: Path
    size: int
    used: float


@dataclass(frozen=True)
class Store:
    """The entries in a folder.

    Attributes
    ----------
    limit : int
        Bytes; beyond them the entries that were not used for longest go.
    """

    folder: Path
    limit: int

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key, None where there is none; a broken one is thrown away."""
        folder = self.folder / key
        try:
            entry = opened(folder)
        except FileNotFoundError:
            return None
        except (OSError, BrokenEntryError):
            self.drop(key)
            return None
        _touch(folder / FACTS)
        return entry

    def drop(self, key: str) -> None:
        """Throw an entry away."""
        self._remove(self.folder / key)

    @contextmanager
    def draft(self) -> Iterator[Path | None]:
        """Give a folder to write an entry into, which is gone afterwards unless it was kept; None if none can be."""
        folder = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except OSError as error:
            self.say(error)
            yield None
            return
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, draft: Path, key: str, about: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Make what was written into a draft the entry of a key, in one step; what exceeds the limit is not kept.

        Parameters
        ----------
        about : mapping
            What a person should read of it.
        facts : mapping
            What its reader needs beside the files, as JSON.
        """
        try:
            describe(draft, about, facts)
            if _size(draft) > self.limit:
                return
            if not (self.folder / key / FACTS).exists():
                self.drop(key)  # what is left of one
            os.rename(draft, self.folder / key)
        except OSError as error:
            if not (self.folder / key).is_dir():  # else another process was faster, and its entry is as good
                self.say(error)
            return
        self._tidy()

    def kept(self) -> list[Kept]:
        """Return what is there, the entry used last first."""
        found = [Kept(folder, _size(folder), _time(folder / FACTS)) for folder in self._folders()]
        return sorted(found, key=lambda one: -one.used)

    def clear(self) -> int:
        """Throw everything away; return how many entries there were."""
        folders = self._folders()
        for folder in [*folders, *self._unfinished(0.0)]:
            self._remove(folder)
        return len(folders)

    def say(self, error: OSError) -> None:
        """Warn, once a process, that the folder cannot be written."""
        if self.folder not in _said:
            _said.add(self.folder)
            warnings.warn(
                f"The cache of compiled explainers, {self.folder}, cannot be written: {error.strerror or error}; every "
                f"explainer is compiled anew. Set {FOLDER} to a folder that can be, or to off",
                CacheWarning, stacklevel=2,
            )  # fmt: skip

    def _tidy(self) -> None:
        """Remove what dead processes left behind, and beyond the limit what was not used for longest."""
        for folder in self._unfinished(_ABANDONED):
            shutil.rmtree(folder, ignore_errors=True)
        total = 0
        for one in self.kept():
            total += one.size
            if total > self.limit:
                self._remove(one.folder)

    def _remove(self, folder: Path) -> None:
        gone = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            os.rename(folder, gone)  # out of the readers' sight first
        except OSError:  # gone already, or not ours to remove
            return
        shutil.rmtree(gone, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in _listed(self.folder) if _KEY.fullmatch(path.name)]

    def _unfinished(self, age: float) -> list[Path]:
        now = time.time()
        found = (path for path in _listed(self.folder) if path.name.startswith(_UNFINISHED))
        return [path for path in found if now - _time(path) >= age]


def open_store() -> Store | None:
    """Return the cache that the environment names; None where it is switched off. BadInput where a size is none."""
    folder = cache_folder()
    return None if folder is None else Store(folder, size_limit())


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _size(folder: Path) -> int:
    """Return the bytes of a folder's files; 0 where it went meanwhile."""
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # a cache that others fill may be read-only
        return
