"""The pictures the page may explain: those that were sent, kept by content, and the samples of a folder."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput, RspError
from rsp_onnx.inputs.photos import read, read_photo
from rsp_onnx.inputs.tensors import TENSOR_FILES, read_tensor_file
from rsp_onnx.web.samples import media_type, sample_photos

from .asked import RefusedError

MOST_IMAGES, THUMBNAIL = 32, 256
_MOST_UNPACKED = 1 << 29  # bytes of the arrays in a .npz file


@contextmanager
def called(path: Path, name: str) -> Iterator[None]:
    """Say a file's own name in errors, not that of the temporary one it lies in."""
    try:
        yield
    except RspError as error:
        error.args = (str(error).replace(str(path), name),)
        raise


@dataclass(frozen=True)
class StoredImage:
    """A picture that was sent. facts: as ``ImageFacts`` of the page."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What its file is called."""
        return str(self.facts["name"])


class Images:
    """The pictures used last, as files in a temporary folder. Safe to use from several threads."""

    def __init__(self, most: int = MOST_IMAGES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, StoredImage] = OrderedDict()

    def add(self, path: Path, name: str, digest: str) -> Mapping[str, Any]:
        """Keep a picture under its content; the file becomes the store's own. Return its ``ImageFacts``.

        Raises
        ------
        BadInput
            It is no picture and no tensor file; the file is removed.
        """
        try:
            with called(path, name):
                width, height, warnings = _looked_at(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        id = digest[:16] + path.suffix.removeprefix(".")
        facts = {"id": id, "name": name, "width": width, "height": height, "warnings": list(warnings)}
        with self._lock:
            before = self._kept.pop(id, None)
            self._kept[id] = StoredImage(path, facts)
            dropped = [before] if before else []
            while len(self._kept) > self._most:
                dropped.append(self._kept.popitem(last=False)[1])
        for one in dropped:
            one.path.unlink(missing_ok=True)
        return facts

    def get(self, id: str) -> StoredImage:
        """Return a picture; RefusedError where it is not kept any more."""
        with self._lock:
            if id not in self._kept:
                says = f"The image is not here any more: the last {self._most} are kept; add it again."
                raise RefusedError(says, 404)
            self._kept.move_to_end(id)
            return self._kept[id]


def _looked_at(path: Path) -> tuple[int, int, tuple[str, ...]]:
    """Read a file; return its width and height, 0 of tensors, and what should be said of it."""
    if path.suffix in TENSOR_FILES:
        _check_unpacked(path)
        read_tensor_file(path)
        return 0, 0, ()
    photo = read(path)
    return photo.picture.width, photo.picture.height, photo.remarks


def _check_unpacked(path: Path) -> None:
    """Refuse a .npz file that becomes far more than was sent; what is no such file is told when it is read."""
    if not zipfile.is_zipfile(path):
        return
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_UNPACKED:
            raise BadInput(f"{path} holds {size / 1e6:,.0f} MB of arrays, more than {_MOST_UNPACKED / 1e6:,.0f} MB.")


class Samples:
    """Photographs of a folder; BadInput where there are none, see ``sample_photos``."""

    def __init__(self, folder: str | Path | None) -> None:
        self.paths = () if folder is None else tuple(sample_photos(folder))

    def listed(self) -> list[dict[str, str]]:
        """Return them as ``Sample`` of the page, with addresses below ``/api/``."""
        return [{"name": path.name, "url": f"samples/{n}"} for n, path in enumerate(self.paths)]

    def picture(self, number: int, size: int | None) -> tuple[bytes, str]:
        """Return a picture's bytes and their media type: the file itself, or a JPEG of at most ``size`` pixels."""
        if not 0 <= number < len(self.paths):
            raise RefusedError(f"There is no sample {number}; there are {len(self.paths)}.", 404)
        path = self.paths[number]
        if size is None:
            return path.read_bytes(), media_type(path)
        small, buffer = read_photo(path), io.BytesIO()
        small.thumbnail((min(size, THUMBNAIL),) * 2)
        small.save(buffer, "JPEG", quality=85)
        return buffer.getvalue(), "image/jpeg"
