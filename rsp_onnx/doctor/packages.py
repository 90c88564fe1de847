"""Which libraries rsp-onnx asks for, by its own metadata, and which of them are here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from rsp_onnx.extras import EXTRAS, PURPOSES

from .ask import ask

NAME = "rsp-onnx"
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
_MODULES = {"onnx-ir": "onnx_ir", "pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn",
            **dict.fromkeys(RUNTIMES, "onnxruntime")}  # fmt: skip
_ESSENTIAL = ("onnx", "onnx-ir", "numpy", "networkx")  # without one of these nothing is explained
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")


@dataclass(frozen=True)
class Wanted:
    """A library that is asked for.

    Attributes
    ----------
    version : str or None
        As installed; None where it is not.
    error : str
        Why it cannot be imported, where that was tried.
    """

    name: str
    asked: str
    version: str | None
    error: str = ""

    @property
    def is_essential(self) -> bool:
        """Whether nothing is explained without it."""
        return self.name in _ESSENTIAL

    @property
    def works(self) -> bool:
        """Whether it is there, and nothing was found against it."""
        return self.version is not None and not self.error

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"name": self.name, "asked": self.asked, "version": self.version, "for": PURPOSES.get(self.name, ""),
                "error": self.error}  # fmt: skip


def requirements() -> dict[str, list[Wanted]] | None:
    """Return what is asked for: by extra, what always is under ``""``; None where rsp-onnx itself is not installed.

    A requirement for another platform or Python is none; one on an extra of ours stands for what that asks for. The
    extras that are for users alone are told, see ``EXTRAS``.
    """
    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return None
    found: dict[str, list[Wanted]] = {extra: [] for extra in ("", *EXTRAS)}
    for line in lines:
        asked, _, marker = (part.strip() for part in line.partition(";"))
        extra = _EXTRA.search(marker)
        if (extra[1] if extra else "") in found and not asked.startswith(NAME):
            wanted = _wanted(asked, marker)
            if wanted is not None:
                found[extra[1] if extra else ""].append(wanted)
    return found


def _wanted(asked: str, marker: str) -> Wanted | None:
    """Return a requirement; None for a runtime (told by itself) and for what is not needed here and is not here."""
    name = re.split(r"[\s<>=!~\[(]", asked, maxsplit=1)[0].lower()
    version = installed(name)
    elsewhere = version is None and re.search(r"python_version|sys_platform|platform_", marker) is not None
    return None if name in RUNTIMES or elsewhere else Wanted(name, asked, version)


def installed(name: str) -> str | None:
    """Return the version of a library, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def tried(wanted: Wanted) -> Wanted:
    """Import a library in a process of its own; return it with the reason where that fails."""
    if wanted.version is None:
        return wanted
    error = ask("import", _MODULES.get(wanted.name, wanted.name)).get("error", "")
    return Wanted(wanted.name, wanted.asked, wanted.version, error)
