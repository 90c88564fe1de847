"""Writing results, each file completely or not at all; hashing files; and reading TOML."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import secrets
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from rsp_onnx.errors import BadOutput

if TYPE_CHECKING:
    from PIL import Image

# by name, because type checkers looking at 3.10 find no tomllib and those at 3.11 no tomli
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
_CHUNK = 1 << 20
TomlError: type[ValueError] = _toml.TOMLDecodeError


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside it, then give it its name in one step.

    Parameters
    ----------
    path : str or Path
        Where the file goes; a link is followed, an existing file is replaced.
    write : callable
        Gets the open binary file. Whatever it raises is passed on, and nothing is left behind.

    Raises
    ------
    BadOutput
        If the file cannot be written there (no such folder, no permission, disk full).
    """
    target = Path(os.path.realpath(path))  # replacing a link would leave the file it points to as it was
    if os.path.exists(target) and not os.path.isfile(target):
        what = "a folder" if os.path.isdir(target) else "not a regular file"
        raise BadOutput(f"{path} is {what}: give the name of a file to write.")
    temporary = target.with_name(f".rsp-{secrets.token_hex(8)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:  # not tempfile: its files are private to the user
                write(file)
            os.replace(temporary, target)
        finally:
            _remove(temporary)
    except OSError as error:
        raise BadOutput(f"{path} cannot be written: {_reason(target, error)}.") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # below a regular file, or the folder is gone: then there is nothing to remove
        return


def _reason(target: Path, error: OSError) -> str:
    if not os.path.isdir(target.parent):
        return f"there is no folder {target.parent}"
    return error.strerror or str(error)


def make_folder(path: str | Path) -> Path:
    """Create a folder with its parents, if it is not there yet, and return it.

    Raises
    ------
    BadOutput
        If it cannot be created, for one because a file is in the way.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(f"The folder {folder} cannot be created: {error.strerror or error}.") from error
    return folder


def save_bytes(path: str | Path, data: bytes) -> None:
    """Write bytes; see `write_atomically`."""
    write_atomically(path, lambda file: file.write(data))


def save_png(path: str | Path, image: Image.Image) -> None:
    """Write a picture as PNG; see `write_atomically`."""
    # zlib's level 4: half the time of its usual 6 for 3 % more bytes
    write_atomically(path, lambda file: image.save(file, format="PNG", compress_level=4))


def save_json(path: str | Path, obj: object) -> None:
    """Write an object as readable JSON; numpy numbers and arrays and paths become plain ones.

    Raises
    ------
    BadOutput
        If something in it is no JSON (NaN and infinity neither), or the file cannot be written.
    """
    try:
        text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
        data = f"{text}\n".encode()
    except (TypeError, ValueError) as error:
        raise BadOutput(f"{path} cannot be written as JSON: {error}.") from error
    save_bytes(path, data)


def _plain(value: object) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def save_npz(path: str | Path, /, **arrays: Any) -> None:
    """Write named arrays as compressed .npz, byte for byte the same for the same arrays.

    Raises
    ------
    BadOutput
        If an array holds Python objects (reading them back would run code), or the file cannot be written.
    """
    ready = {name: np.asanyarray(array) for name, array in arrays.items()}
    for name, array in ready.items():
        if array.dtype.hasobject:
            raise BadOutput(f"{path}: array '{name}' holds Python objects, which are not written.")

    def write(file: BinaryIO) -> None:
        # like np.savez_compressed, but any array name goes ("file" too); entries carry no time of day
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in ready.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)

    write_atomically(path, write)


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML; TomlError, with the line and column, where it is none."""
    return dict(_toml.loads(text))


def hash_file(digest: hashlib._Hash, path: str | Path) -> None:
    """Hash a file's bytes, a part at a time; OSError where it cannot be read."""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
