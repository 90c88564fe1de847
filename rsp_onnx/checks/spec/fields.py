"""Which keys SPEC may have, what each must be, and the problems of those that are not."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rsp_onnx.errors import RspError
from rsp_onnx.evaluate.datasets.formats import FORMATS

from .lines import Lines, line_of

_LARGEST = 1e300  # neither infinity nor a whole number too large for a float; NaN is not below it either
Fits = Callable[[Any], bool]


class Threshold(Protocol):
    """What SPEC's reader must know of a check: whether it has a threshold, and what that may be."""

    default: ClassVar[float | None]
    slack: ClassVar[float | None]
    bounds: ClassVar[tuple[float, float]]


@dataclass
class Problems:
    """Everything that is wrong with a file, each with its line."""

    lines: Lines
    noted: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: tuple[str | int, ...], text: str) -> None:
        """Note a problem of the value at a path."""
        self.noted.append((line_of(self.lines, path), text))

    def attempt(self, path: tuple[str | int, ...], call: Callable[[], Any]) -> Any:
        """Return what a call returns; None where the library refuses it, which becomes a problem."""
        try:
            return call()
        except RspError as error:
            self.add(path, str(error).rstrip("."))
            return None


def is_text(value: object) -> bool:
    """Tell whether a value is a text that says something."""
    return isinstance(value, str) and bool(value.strip())


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def is_class(value: object) -> bool:
    """Tell whether a value may name a class."""
    return is_text(value) or (is_whole(value) and int(value) >= 0)  # type: ignore[call-overload]


def _are_classes(value: object) -> bool:
    return is_class(value) or (isinstance(value, list) and bool(value) and all(map(is_class, value)))


def _are_shapes(value: object) -> bool:
    """Tell whether a value is a table of shapes, by input name; "N" is what stays free."""
    shapes = list(value.values()) if isinstance(value, dict) else [None]
    return all(isinstance(s, list) and all(d == "N" or (is_whole(d) and d > 0) for d in s) for s in shapes)


def is_box(value: object) -> bool:
    """Tell whether a value is four numbers, the second corner not before the first."""
    if not (isinstance(value, list) and len(value) == 4 and all(map(is_number, value))):
        return False
    return bool(value[0] <= value[2] and value[1] <= value[3])


_TEXT: tuple[Fits, str] = (is_text, "a text")
_FILE: tuple[Fits, str] = (is_text, "a file's name")
_CLASSES: tuple[Fits, str] = (_are_classes, "a label, an index, or a list of them")
_BOX = "[xmin, ymin, xmax, ymax] in pixels, the first corner not behind the second"
TOP: dict[str, tuple[Fits, str]] = {
    "model": _FILE, "labels": _FILE,
    "preprocess": (lambda v: is_text(v) or isinstance(v, dict), "a preset, a file's name, or a table"),
    "method": _TEXT, "hostile": _CLASSES, "section": _TEXT, "goldens": _FILE, "output": _TEXT, "region": _TEXT,
    "classes": _TEXT, "class_axis": (is_whole, "a whole number"),
    "input_shapes": (_are_shapes, 'a table such as image = ["N", 3, 224, 224]'),
    "image": (lambda v: isinstance(v, list) and all(isinstance(i, dict) for i in v), "tables, each under [[image]]"),
    "folder": (lambda v: isinstance(v, dict), "a table"), "expect": (lambda v: isinstance(v, dict), "a table"),
}  # fmt: skip
IMAGE: dict[str, tuple[Fits, str]] = {
    "path": _FILE,
    "target": (is_class, "a label or an index"),
    "hostile": _CLASSES,
    "box": (is_box, _BOX),
    "boxes": (lambda v: isinstance(v, list) and bool(v) and all(map(is_box, v)), f"a list of {_BOX}"),
    "mask": (is_text, "a PNG's name"),
}
FOLDER: dict[str, tuple[Fits, str]] = {
    "data": (is_text, "a folder's name"),
    "format": (lambda v: is_text(v) and v in FORMATS, f"one of {', '.join(FORMATS)}"),
    "mapping": _FILE,
    "limit": (lambda v: is_whole(v) and v >= 1, "a whole number from 1"),
}


def fitting(
    table: Mapping[str, Any], known: Mapping[str, tuple[Fits, str]], problems: Problems, at: tuple[str | int, ...] = ()
) -> dict[str, Any]:
    """Return the entries that are what they must be; the others, and unknown keys, become problems."""
    entries: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            problems.add((*at, key), f"there is no key {key!r}{f' in [{at[0]}]' if at else ''}{_nearest(key, known)}")
        elif not known[key][0](value):
            problems.add((*at, key), f"{_name(at, key)} must be {known[key][1]}, not {value!r}")
        else:
            entries[key] = value
    return entries


def required(
    entries: Mapping[str, Any], table: Mapping[str, Any], key: str, problems: Problems, at: tuple[str | int, ...]
) -> Any:
    """Return the value of a key that must be there; a missing one becomes a problem, a wrong one already is."""
    if key not in table:
        problems.add(at, f"{_name(at, key)} is missing")
    return entries.get(key)


def existing(name: str | None, base: Path, what: str, problems: Problems, at: tuple[str | int, ...]) -> Path | None:
    """Return a file's path below the folder of SPEC; a missing file becomes a problem."""
    if name is None:
        return None
    path = base / name
    if not is_there(path):
        problems.add(at, f"there is no {what} {path}")
    elif what != "dataset" and not path.is_file():
        problems.add(at, f"the {what} {path} is no file")
    return path


def is_there(path: Path) -> bool:
    """Tell whether there is such a file or folder; not where the name is longer than names may be."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def expectation_problem(name: str, value: object, checks: Mapping[str, Threshold]) -> str | None:
    """Return what is wrong with an entry of [expect]; None where it fits."""
    if name not in checks:
        return f"there is no check {name!r}{_nearest(name, checks, 'checks')}"
    if isinstance(value, bool):
        return None
    one = checks[name]
    if one.default is None and one.slack is None:
        return f"{name!r} has no threshold: it must be true or false, not {value!r}"
    low, high = one.bounds
    if not isinstance(value, (int, float)) or not low <= value <= high:
        return f"{name!r} must be a number from {low:g} to {high:g}, true or false, not {value!r}"
    return None


def _nearest(key: str, known: Iterable[str], what: str = "keys") -> str:
    close = difflib.get_close_matches(str(key), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; the {what} are {', '.join(known)}"


def _name(at: tuple[str | int, ...], key: str) -> str:
    return f"{key!r} of [{at[0]}]" if at else repr(key)
