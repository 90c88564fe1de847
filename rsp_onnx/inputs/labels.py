"""Names of the classes: read them from files and metadata, and find a class by what the user typed."""

from __future__ import annotations

import ast
import difflib
import json
import operator
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput, BadTarget

METADATA_KEY = "rsp_onnx.labels"
_WNID = re.compile(r"n\d{8}[\s,]+(?=\S)")  # WordNet id before the words, as in "n01440764 tench, Tinca tinca"
_SHOWN = 5  # candidates named in a message


def read_labels(
    source: str | Path | Sequence[str] | None, metadata: Mapping[str, str] | None = None
) -> tuple[str, ...] | None:
    """Read the class names in the order of the model's outputs.

    Parameters
    ----------
    source : str, Path, sequence of str or None
        A text file with one class per line (WordNet ids before the words are dropped), a JSON file (a list,
        an index → name or name → index table, or a Hugging Face config with "id2label"), or the names.
    metadata : mapping of str to str, optional
        The model's metadata, used if there is no source: "rsp_onnx.labels" (JSON list),
        "names" (Ultralytics), "labels" or "classes" (JSON, or separated by lines or commas).

    Returns
    -------
    tuple of str or None
        None if there are no labels anywhere.

    Raises
    ------
    BadInput
        If the source or "rsp_onnx.labels" is there but no list of labels. Other metadata keys may mean
        anything and are passed over when they hold no labels.
    """
    if source is None:
        return _from_metadata(metadata or {})
    if isinstance(source, (str, Path)):
        return _from_file(Path(source))
    return _from_data(list(source), "The list of labels")


def check_labels(labels: Sequence[str], n_classes: int) -> None:
    """Check that there is one label per class.

    Raises
    ------
    BadInput
        If the counts differ; the message names both.
    """
    if len(labels) == n_classes:
        return
    hint = "give the labels this model was trained with"
    if n_classes == len(labels) + 1:
        hint = "the model probably has a background class at index 0: put a line 'background' first"
    elif n_classes == len(labels) - 1:
        hint = "the labels probably begin with a background class that the model lacks: drop the first line"
    raise BadInput(f"There are {len(labels)} labels, but the model has {n_classes} classes: {hint}.")


def label_of(index: int, labels: Sequence[str] | None) -> str:
    """Name of a class; "class 7" where there is no label."""
    if labels is not None and 0 <= index < len(labels) and labels[index]:
        return labels[index]
    return f"class {index}"


def called(index: int, labels: Sequence[str] | None) -> str:
    """Return what a class is called in a sentence: class 'tabby, tabby cat', or class 7 where it has no label."""
    label = label_of(index, labels)
    return f"class '{label}'" if label != label_of(index, None) else label


def find_class(text: str | int, labels: Sequence[str] | None, n_classes: int) -> int:
    """Find a class by its index, its label, or one of the synonyms in its label.

    Parameters
    ----------
    text : str or int
        "282", "tiger cat", "Tiger Cat", or "tabby" for the label "tabby, tabby cat".
    labels : sequence of str, optional
        The names in the order of the outputs.
    n_classes : int
        Number of classes of the model.

    Returns
    -------
    int
        0 <= index < n_classes.

    Raises
    ------
    BadTarget
        If there is no such class, or several.
    """
    if not isinstance(text, str):
        return _in_range(operator.index(text), n_classes)
    wanted, names = text.strip(), list(labels or ())[:n_classes]
    by_label = _matches(wanted, names)
    if re.fullmatch(r"[+-]?[0-9]{1,18}", wanted):
        # labels may be digits too: a handwritten "7" that is not class 7 needs a decision by the user
        by_label = by_label or [_in_range(int(wanted), n_classes)]
        if 0 <= int(wanted) < n_classes and int(wanted) not in by_label:
            by_label = [int(wanted), *by_label]
    if len(by_label) == 1:
        return by_label[0]
    if by_label:
        raise BadTarget(f"'{wanted}' means several classes, give the index of one: {_named(by_label, names)}.")
    if not names:
        raise BadTarget(f"This model has no labels to find '{wanted}' in: give an index 0..{n_classes - 1}.")
    raise BadTarget(f"There is no class '{wanted}'; the nearest are {_named(_nearest(wanted, names), names)}.")


def _in_range(index: int, n_classes: int) -> int:
    if not 0 <= index < n_classes:
        raise BadTarget(f"There is no class {index}: this model's classes are 0..{n_classes - 1}.")
    return index


def _synonyms(label: str) -> list[str]:
    return [word.strip().casefold() for word in label.split(",")]


def _matches(wanted: str, names: Sequence[str]) -> list[int]:
    """Classes of that label: exactly, else whatever the case, else among the synonyms."""
    folded = wanted.casefold()
    if not folded:
        return []
    exact = [i for i, name in enumerate(names) if name == wanted]
    either_case = exact or [i for i, name in enumerate(names) if name.casefold() == folded]
    return either_case or [i for i, name in enumerate(names) if folded in _synonyms(name)]


def _nearest(wanted: str, names: Sequence[str], n: int = 3) -> list[int]:
    owners: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for word in {name.casefold(), *_synonyms(name), *name.casefold().replace(",", " ").split()}:
            owners.setdefault(word, []).append(index)
    close = difflib.get_close_matches(wanted.casefold(), owners, n=4 * n, cutoff=0.0)
    return list(dict.fromkeys(index for word in close for index in owners[word]))[:n]


def _named(indices: Sequence[int], names: Sequence[str]) -> str:
    shown = [f"{i} ({label_of(i, names)})" for i in indices[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else "")


def _from_file(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"The labels file {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"The labels file {path} is not UTF-8 text: save it as UTF-8.") from error
    if path.suffix.lower() != ".json" and not text.lstrip().startswith(("{", "[")):
        return _from_data(_lines(text), str(path))
    try:
        return _from_data(json.loads(text), str(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"The labels file {path} is not valid JSON: {error}.") from error


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if lines and all(_WNID.match(line) for line in lines):
        return [_WNID.sub("", line, count=1) for line in lines]
    return lines


def _from_metadata(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    if METADATA_KEY in metadata:
        where = f"The model's metadata '{METADATA_KEY}'"
        try:
            return _from_data(json.loads(metadata[METADATA_KEY]), where)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadInput(f"{where} is not valid JSON ({error}): give a labels file.") from error
    for key in ("names", "labels", "classes"):
        try:
            return _from_data(_literal(metadata.get(key, "")), key)
        except BadInput:
            continue
    return None


def _literal(text: str) -> object:
    """JSON, else a Python literal, else a list separated by lines or commas."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        lines = _lines(text)
        return lines if len(lines) > 1 else [word.strip() for word in text.split(",") if "," in text]


def _from_data(data: Any, where: str) -> tuple[str, ...]:
    if isinstance(data, Mapping):
        data = _from_table(data.get("id2label", data), where)
    if not isinstance(data, (list, tuple)) or not data:
        raise BadInput(f"{where} holds no labels: give a list with one label per class.")
    # Keras writes ["n01440764", "tench"]: the words come last
    names = [item[-1] if isinstance(item, (list, tuple)) and item else item for item in data]
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise BadInput(f"{where}: the label of class {index} is {name!r}: give a text for every class.")
    return tuple(name.strip() for name in names)


def _from_table(table: object, where: str) -> list[Any]:
    """Values in the order of their indices; a name → index table is turned round first."""
    if not isinstance(table, Mapping):
        raise BadInput(f"{where} holds no table of labels.")
    pairs = list(table.items())
    if pairs and all(isinstance(value, int) and not isinstance(value, bool) for _, value in pairs):
        pairs = [(index, name) for name, index in pairs]
    by_index = {int(key): value for key, value in pairs if re.fullmatch(r"[0-9]{1,9}", str(key))}
    if len(by_index) != len(pairs) or set(by_index) != set(range(len(pairs))):
        raise BadInput(f"{where}: the indices must be 0..{max(len(pairs) - 1, 0)}, each once.")
    return [by_index[index] for index in range(len(by_index))]
