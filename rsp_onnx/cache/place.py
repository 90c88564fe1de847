"""Where the cache is and how large it may become, as the environment says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rsp_onnx.errors import BadInput

FOLDER, SIZE = "RSP_ONNX_CACHE", "RSP_ONNX_CACHE_SIZE"  # of the environment
_DEFAULT_SIZE = 2 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def cache_folder() -> Path | None:
    """Return the folder of the cache, whether it is there or not.

    None where ``RSP_ONNX_CACHE`` is ``off``, and where it is not set and the user has no home.
    """
    given = os.environ.get(FOLDER, "")
    if given:
        return None if given.lower() == "off" else Path(given).expanduser().absolute()
    try:
        return _of_user() / "rsp-onnx"
    except RuntimeError:  # an account that the system does not know, as in some containers
        return None


def _of_user() -> Path:
    """Return the platform's folder for what can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"  # a relative path there is to be ignored


def size_limit() -> int:
    """Return how many bytes the cache may hold: ``RSP_ONNX_CACHE_SIZE``, else 2 GiB.

    Raises
    ------
    BadInput
        The environment says something that is no size.
    """
    given = os.environ.get(SIZE, "").strip()
    if not given:
        return _DEFAULT_SIZE
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", given, re.IGNORECASE)
    if found is None:
        raise BadInput(f"{SIZE}={given!r} is no size; write a number of bytes, or one like 500M or 4G.")
    return int(float(found[1]) * _UNITS[found[2].upper()])
