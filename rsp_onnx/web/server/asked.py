"""What a request says, read strictly: names, and JSON of the right types; everything else is one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from rsp_onnx.errors import RspError

T = TypeVar("T")
MOST_TENSORS = 64
_LONGEST_NAME = 200
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


class RefusedError(RspError):
    """A request that the server does not serve; its status tells programs why."""

    def __init__(self, says: str, status: int = 400) -> None:
        super().__init__(says)
        self.status = status


def file_name(given: str | None, otherwise: str) -> str:
    """Return a file's name as it is shown: never a path, no control characters, of bounded length."""
    last = re.split(r"[/\\]", given or "")[-1]
    shown = "".join(c for c in last if c.isprintable()).strip()
    return shown[-_LONGEST_NAME:] if shown.strip(".") else otherwise


def suffix_of(name: str) -> str:
    """Return a name's ending, by which files are read; empty where it is none."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def read_json(body: bytes) -> Mapping[str, Any]:
    """Return the object in a body."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError("The body of the request is no JSON.") from None
    if not isinstance(said, dict):
        raise RefusedError("The body of the request is no JSON object.")
    return said


@dataclass(frozen=True)
class ExplainRequest:
    """As the page's type of this name."""

    model: str
    image: str
    method: str
    targets: tuple[int, ...] | None
    hostile: tuple[int, ...]
    tensors: tuple[str, ...]
    ledger: bool


def explain_request(said: Mapping[str, Any]) -> ExplainRequest:
    """Read a request to explain; targets are None for the class with the highest score.

    Raises
    ------
    RefusedError
        A field is missing or of another type.
    """
    model, image, method = (said.get(key) for key in ("model", "image", "method"))
    if not (isinstance(model, str) and isinstance(image, str) and isinstance(method, str)):
        raise RefusedError("A request to explain names a model, an image and a method, each a text.")
    targets, tensors, ledger = said.get("targets", "auto"), said.get("tensors", []), said.get("ledger", False)
    if targets != "auto" and not (_whole_numbers(targets) and targets):
        raise RefusedError('The targets of a request to explain are "auto" or a list of class indices.')
    hostile = said.get("hostile", [])
    if not _whole_numbers(hostile):
        raise RefusedError("The hostile classes of a request to explain are a list of class indices.")
    if not (isinstance(tensors, list) and all(isinstance(t, str) for t in tensors) and len(tensors) <= MOST_TENSORS):
        raise RefusedError(f"The tensors of a request to explain are a list of at most {MOST_TENSORS} names.")
    if not isinstance(ledger, bool):
        raise RefusedError("The ledger of a request to explain is true or false.")
    chosen = None if targets == "auto" else _each_once(targets)
    return ExplainRequest(model, image, method, chosen, _each_once(hostile), _each_once(tensors), ledger)


def _each_once(values: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _whole_numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
