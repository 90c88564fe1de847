"""Reading SPEC strictly: every problem in the file at once, each with its line."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.errors import BadInput
from rsp_onnx.files import TomlError, parse_toml
from rsp_onnx.inputs.find_preprocess import resolve_preprocess
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.presets import PRESETS

from .fields import FOLDER, IMAGE, TOP, Problems, Threshold, existing, expectation_problem, fitting, is_there, required
from .lines import Lines, line_of, toml_lines, yaml_lines
from .places import Box
from .spec import FolderSpec, ImageSpec, Spec

GOLDENS = ".goldens.npz"
_ANY = InputSignature("", np.dtype(np.float32), (None, None, None, None))  # no input is looked at where all is given


def read_spec(
    path: str | Path,
    checks: Mapping[str, Threshold],
    model: str | Path | None = None,
    preprocess: str | Path | None = None,
) -> Spec:
    """Read a SPEC file (TOML, or YAML where PyYAML is installed) and look at every file it names.

    Parameters
    ----------
    checks : mapping
        By name, what [expect] may hold.
    model, preprocess : optional
        Used instead of SPEC's own.

    Raises
    ------
    BadInput
        The file is no valid SPEC; the message lists every problem with its line.
    """
    place = Path(path)
    data, lines = read_entries(place)
    problems = Problems(lines)
    spec = _spec(place, data, problems, checks, model is not None)
    if problems.noted:
        raise BadInput(_told(place, problems.noted))
    assert spec is not None
    return spec.with_model(model, preprocess)


def _told(path: Path, problems: Sequence[tuple[int, str]]) -> str:
    each = [f"{path}:{line}: {' '.join(text.split())}." for line, text in sorted(dict.fromkeys(problems))]
    count = "a problem" if len(each) == 1 else f"{len(each)} problems"
    return "\n  ".join([f"{path} has {count}; mend what is listed and run it again:", *each])


def goldens_of(spec: Path, entries: Mapping[Any, Any]) -> Path:
    """Return where the goldens of a SPEC file are: as it says, else beside it."""
    name = entries.get("goldens")
    return spec.parent / (name if isinstance(name, str) else f"{spec.stem.removesuffix('.rsp')}{GOLDENS}")


def read_entries(path: Path) -> tuple[Any, Lines]:
    """Return what stands in a SPEC file, whether it fits or not, and on which lines; BadInput where it is no file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}: write one, docs/checks.md shows how.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    if path.suffix.lower() in (".yaml", ".yml"):
        return _yaml(path, text)
    try:
        return parse_toml(text), toml_lines(text)
    except TomlError as error:
        raise BadInput(f"{path} is not valid TOML: {error}.") from error
    except RecursionError:
        raise BadInput(f"{path} is not valid TOML: it is nested too deeply.") from None


def _yaml(path: Path, text: str) -> tuple[Any, Lines]:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise BadInput(f"{path} is YAML, which needs PyYAML: pip install pyyaml, or write SPEC as TOML.") from None
    try:
        lines: Lines = {}
        twice = []
        for key, line in yaml_lines(yaml.compose(text, Loader=yaml.SafeLoader)):
            if key in lines:
                twice.append((line, f"{'.'.join(map(str, key))!r} is there twice"))
            lines[key] = line
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if twice:
        raise BadInput(_told(path, twice))
    return {} if data is None else data, lines


def _spec(path: Path, data: Any, problems: Problems, checks: Mapping[str, Threshold], own_model: bool) -> Spec | None:
    if not isinstance(data, Mapping):
        problems.add((), 'SPEC must be keys and values, such as model = "model.onnx"')
        return None
    base, entries = path.parent, fitting(data, TOP, problems)
    # a model given on the command line stands in for SPEC's, which need not be there
    name = entries.get("model") if own_model else required(entries, data, "model", problems, ())
    model = base / name if own_model and name else existing(name, base, "model", problems, ("model",))
    images = _images(entries.get("image", []), base, problems)
    if "image" not in data or entries.get("image") == []:
        problems.add((), 'there is no image: write [[image]] and path = "photo.png" below it')
    if "method" in entries:
        problems.attempt(("method",), lambda: find_method(entries["method"]))
    for check, value in entries.get("expect", {}).items():
        if problem := expectation_problem(check, value, checks):
            problems.add(("expect", check), problem)
    return Spec(
        path, model or Path(), images, existing(entries.get("labels"), base, "labels file", problems, ("labels",)),
        _preprocess(entries.get("preprocess"), base, problems), entries.get("method", "rsp"),
        entries.get("hostile", "auto"), entries.get("section"),
        goldens_of(path, entries),
        _folder(entries.get("folder"), base, problems), entries.get("expect", {}), problems.lines,
        reading=_reading(entries),
    )  # fmt: skip


def _reading(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says how the scores are read, as arguments of ``Explainer``."""
    names = {"output": "output", "region": "region", "class_axis": "class_axis", "classes": "class_rows"}
    reading = {own: entries[key] for key, own in names.items() if key in entries}
    if "input_shapes" in entries:
        shapes = entries["input_shapes"].items()
        reading["input_shapes"] = {name: [None if d == "N" else d for d in sizes] for name, sizes in shapes}
    return reading


def _preprocess(given: Any, base: Path, problems: Problems) -> str | Mapping[str, Any] | None:
    """Return a preset's name, a file's path below SPEC's folder, or a table that is right."""
    if given is None or given in tuple(PRESETS):
        return given  # type: ignore[no-any-return]
    if isinstance(given, str):
        if not is_there(base / given):
            problems.add(("preprocess",), f"{given!r} is neither a preset ({', '.join(PRESETS)}) nor a file in {base}")
            return None
        given = str(base / given)
    fits = problems.attempt(("preprocess",), lambda: resolve_preprocess(given, signature=_ANY)) is not None
    return given if fits else None


def _images(tables: Sequence[Mapping[str, Any]], base: Path, problems: Problems) -> tuple[ImageSpec, ...]:
    images = tuple(_image(table, ("image", number), base, problems) for number, table in enumerate(tables))
    first: dict[str, int] = {}
    for number, image in enumerate(images):
        if image.name in first:
            problems.add(("image", number), f"the image {image.name!r} is there already, on line {first[image.name]}")
        elif image.name:
            first[image.name] = image.line
    return images


def _image(table: Mapping[str, Any], at: tuple[str | int, ...], base: Path, problems: Problems) -> ImageSpec:
    before = len(problems.noted)
    entries = fitting(table, IMAGE, problems, at)
    name = str(required(entries, table, "path", problems, at) or "")
    if "box" in table and "boxes" in table:
        problems.add((*at, "boxes"), "an image has either 'box' or 'boxes', not both")
    path = existing(name or None, base, "image", problems, (*at, "path")) or base
    mask = existing(entries.get("mask"), base, "mask", problems, (*at, "mask"))
    listed = entries.get("boxes", [entries["box"]] if "box" in entries else [])
    boxes: tuple[Box, ...] = tuple((float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in listed)
    image = ImageSpec(
        name.replace("\\", "/"), path, entries.get("target"), entries.get("hostile"), boxes, mask,
        line_of(problems.lines, at),
    )  # fmt: skip
    if len(problems.noted) == before and image.has_place:
        problems.attempt((*at, "mask" if mask else "boxes" if "boxes" in table else "box"), lambda: image.place(0))
    return image


def _folder(table: Mapping[str, Any] | None, base: Path, problems: Problems) -> FolderSpec | None:
    if table is None:
        return None
    entries = fitting(table, FOLDER, problems, ("folder",))
    data = required(entries, table, "data", problems, ("folder",))
    kind = required(entries, table, "format", problems, ("folder",))
    place = existing(data, base, "dataset", problems, ("folder", "data"))
    mapping = existing(entries.get("mapping"), base, "mapping", problems, ("folder", "mapping"))
    line = line_of(problems.lines, ("folder",))
    return FolderSpec(place or base, kind or "csv", mapping, entries.get("limit", 50), line)
