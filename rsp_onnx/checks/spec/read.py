"""Reading SPEC strictly: every problem in the file at once, each with its line."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.checks.catalogue.base import expectation_problem
from rsp_onnx.errors import BadInput
from rsp_onnx.files import TomlError, parse_toml
from rsp_onnx.inputs.find_preprocess import resolve_preprocess
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.presets import PRESETS, Preprocess

from .fields import FOLDER, IMAGE, TOP, Problems, existing, fitting, is_there, required
from .lines import Lines, line_of, toml_lines, yaml_lines
from .places import Box
from .spec import FolderSpec, ImageSpec, Spec

GOLDENS = ".goldens.npz"
_ANY = InputSignature("", np.dtype(np.float32), (None, None, None, None))  # no input is looked at where all is given


def read_spec(path: str | Path, model: str | Path | None = None, preprocess: str | Path | None = None) -> Spec:
    """Read a SPEC file (TOML, or YAML where PyYAML is installed) and look at every file it names.

    Parameters
    ----------
    model, preprocess : optional
        Used instead of SPEC's own.

    Raises
    ------
    BadInput
        The file is no valid SPEC; the message lists every problem with its line.
    """
    place = Path(path)
    data, lines = _load(place)
    problems = Problems(lines)
    spec = _spec(place, data, problems, model is not None)
    if problems.found:
        raise BadInput(_told(place, problems.found))
    assert spec is not None
    return spec.with_model(model, preprocess)


def _told(path: Path, found: Sequence[tuple[int, str]]) -> str:
    each = [f"{path}:{line}: {' '.join(text.split())}." for line, text in sorted(dict.fromkeys(found))]
    count = "a problem" if len(each) == 1 else f"{len(each)} problems"
    return "\n  ".join([f"{path} has {count}; mend what is listed and run it again:", *each])


def _load(path: Path) -> tuple[Any, Lines]:
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
        composed, lines = yaml.compose(text, Loader=yaml.SafeLoader), Problems({})
        found = list(yaml_lines(composed))
        for number, (key, line) in enumerate(found):
            if key in {earlier for earlier, _ in found[:number]}:
                lines.found.append((line, f"{'.'.join(map(str, key))!r} is there twice"))
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if lines.found:
        raise BadInput(_told(path, lines.found))
    return {} if data is None else data, dict(found)


def _spec(path: Path, data: Any, problems: Problems, own_model: bool) -> Spec | None:
    if not isinstance(data, Mapping):
        problems.add((), 'SPEC must be keys and values, such as model = "model.onnx"')
        return None
    base, found = path.parent, fitting(data, TOP, problems)
    # a model given on the command line stands in for SPEC's, which need not be there
    name = found.get("model") if own_model else required(found, data, "model", problems, ())
    model = base / name if own_model and name else existing(name, base, "model", problems, ("model",))
    images = _images(found.get("image", []), base, problems)
    if "image" not in data or found.get("image") == []:
        problems.add((), 'there is no image: write [[image]] and path = "photo.png" below it')
    _check_method(found, problems)
    _check_expect(found.get("expect", {}), problems)
    return Spec(
        path, model or Path(), images, existing(found.get("labels"), base, "labels file", problems, ("labels",)),
        _preprocess(found.get("preprocess"), base, problems), found.get("method", "rsp"),
        found.get("hostile", "auto"), found.get("section"),
        base / found.get("goldens", f"{path.stem.removesuffix('.rsp')}{GOLDENS}"),
        _folder(found.get("folder"), base, problems), found.get("expect", {}), problems.lines,
    )  # fmt: skip


def _check_method(found: Mapping[str, Any], problems: Problems) -> None:
    if "method" in found:
        problems.attempt(("method",), lambda: find_method(found["method"]))


def _check_expect(expect: Mapping[str, Any], problems: Problems) -> None:
    for name, value in expect.items():
        problem = expectation_problem(name, value)
        if problem:
            problems.add(("expect", name), problem)


def _preprocess(given: Any, base: Path, problems: Problems) -> str | Mapping[str, Any] | None:
    """Return a preset's name, a file's path below SPEC's folder, or a table that was found to be right."""
    if given is None or given in tuple(PRESETS):
        return given  # type: ignore[no-any-return]
    if isinstance(given, str):
        if not is_there(base / given):
            problems.add(("preprocess",), f"{given!r} is neither a preset ({', '.join(PRESETS)}) nor a file in {base}")
            return None
        given = str(base / given)
    found: Preprocess | None = problems.attempt(("preprocess",), lambda: resolve_preprocess(given, signature=_ANY))
    return None if found is None else given


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
    before = len(problems.found)
    found = fitting(table, IMAGE, problems, at)
    name = str(required(found, table, "path", problems, at) or "")
    if "box" in table and "boxes" in table:
        problems.add((*at, "boxes"), "an image has either 'box' or 'boxes', not both")
    path = existing(name or None, base, "image", problems, (*at, "path")) or base
    mask = existing(found.get("mask"), base, "mask", problems, (*at, "mask"))
    listed = found.get("boxes", [found["box"]] if "box" in found else [])
    boxes: tuple[Box, ...] = tuple((float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in listed)
    image = ImageSpec(
        name.replace("\\", "/"), path, found.get("target"), found.get("hostile"), boxes, mask,
        line_of(problems.lines, at),
    )  # fmt: skip
    if len(problems.found) == before and image.has_place:
        problems.attempt((*at, "mask" if mask else "boxes" if "boxes" in table else "box"), lambda: image.place(0))
    return image


def _folder(table: Mapping[str, Any] | None, base: Path, problems: Problems) -> FolderSpec | None:
    if table is None:
        return None
    found = fitting(table, FOLDER, problems, ("folder",))
    data = required(found, table, "data", problems, ("folder",))
    kind = required(found, table, "format", problems, ("folder",))
    place = existing(data, base, "dataset", problems, ("folder", "data"))
    mapping = existing(found.get("mapping"), base, "mapping", problems, ("folder", "mapping"))
    line = line_of(problems.lines, ("folder",))
    return FolderSpec(place or base, kind or "csv", mapping, found.get("limit", 50), line)
