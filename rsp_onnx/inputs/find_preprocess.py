"""Which preprocessing a model wants: what is given, a file beside it, its metadata, and at last a guess."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.files import TomlError, parse_toml

from .layout import InputSignature
from .presets import PRESETS, Preprocess, problems_of

METADATA_KEY = "rsp_onnx.preprocess"


def resolve_preprocess(
    given: str | Path | Preprocess | Mapping[str, Any] | None, *, signature: InputSignature,
    metadata: Mapping[str, str] | None = None, model_path: Path | None = None, producer: str = "",
) -> Preprocess:  # fmt: skip
    """Find out how to prepare photographs; what the user gives goes first, a guess last.

    Parameters
    ----------
    given : str, Path, Preprocess, mapping or None
        A preset's name, a TOML (or .json) file, or the thing itself.
    signature : InputSignature
        The image input.
    metadata : mapping of str to str, optional
        The model's metadata; the key "rsp_onnx.preprocess" is read as JSON.
    model_path : Path, optional
        `<stem>.preprocess.toml` beside it is read.
    producer : str
        The model's producer name, for the guess.

    Returns
    -------
    Preprocess
        Its `source` says where it was found; "guessed" if nowhere.

    Raises
    ------
    BadInput
        If the name, file, mapping or metadata is wrong; all its problems at once.
    """
    if given is not None:
        return _from_given(given)
    if model_path is not None:
        beside = file_beside(Path(model_path))
        if beside.is_file():
            return _from_file(beside)
    if metadata is not None and METADATA_KEY in metadata:
        where = f"The model's metadata '{METADATA_KEY}'"
        return _from_mapping(_parse_json(metadata[METADATA_KEY], where), where, "metadata")
    return replace(PRESETS[_guess(signature, producer)], source="guessed")


def file_beside(model: Path) -> Path:
    """Return the file beside a model that says how photographs are prepared, whether it is there or not."""
    return model.parent / f"{model.stem}.preprocess.toml"


def _guess(signature: InputSignature, producer: str) -> str:
    if np.dtype(signature.dtype).kind in "iu":
        return "raw"
    if signature.channels not in (3, None):
        return "unit"
    if "caffe" in producer.lower():
        return "imagenet-caffe"
    return "imagenet-tf" if signature.layout() == "NHWC" else "imagenet-torch"


def _from_given(given: str | Path | Preprocess | Mapping[str, Any]) -> Preprocess:
    if isinstance(given, Preprocess):
        return given
    if isinstance(given, Mapping):
        return _from_mapping(given, "The preprocessing given", "given")
    if str(given) in PRESETS:
        return PRESETS[str(given)]
    if Path(given).suffix in (".toml", ".json") or Path(given).exists():
        return _from_file(Path(given))
    raise BadInput(
        f"'{given}' is neither a preprocessing preset nor a file: use one of {', '.join(PRESETS)}, or a TOML file."
    )


def _from_file(path: Path) -> Preprocess:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            return _from_mapping(_parse_json(text, str(path)), str(path), "file")
        return _from_mapping(parse_toml(text), str(path), "file", path.name.removesuffix(".preprocess.toml"))
    except OSError as error:
        raise BadInput(f"The preprocessing file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"The preprocessing file {path} is not UTF-8 text: save it as UTF-8.") from error
    except TomlError as error:
        raise BadInput(f"The preprocessing file {path} is not valid TOML: {error}.") from error


def _parse_json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: not valid JSON: {error}.") from error


def _from_mapping(mapping: object, where: str, source: str, name: str = "custom") -> Preprocess:
    """Read the fields strictly, over those of the "preset" if there is one."""
    if not isinstance(mapping, Mapping):
        raise BadInput(f"{where}: must be a table of keys and values, not {mapping!r}.")
    known = [field.name for field in fields(Preprocess)]
    problems = [f"unknown key '{key}'" for key in mapping if key not in (*known, "preset")]
    given = {key: mapping[key] for key in known if key in mapping}
    preset = mapping.get("preset")
    base = PRESETS.get(preset) if isinstance(preset, str) else None
    if "preset" in mapping and base is None:
        problems.append(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    values = {**asdict(base or Preprocess(name=name)), **given}
    problems += problems_of(values)
    if problems:
        raise BadInput(f"{where}: {'; '.join(problems)}. The keys are: preset, {', '.join(known)}.")
    return Preprocess(**{**values, "source": source})


def overridden(preprocess: Preprocess, values: Mapping[str, Any], signature: InputSignature) -> Preprocess:
    """Return it with single values replaced; the name says which, the source stays."""
    if not values:
        return preprocess
    fields = {k: v for k, v in preprocess.to_dict().items() if k != "source" and v is not None}
    fields["name"] = f"{preprocess.name} with own {', '.join(values)}"
    return replace(resolve_preprocess({**fields, **values}, signature=signature), source=preprocess.source)
