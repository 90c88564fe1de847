"""What a text's tokens and a table's columns are called, from files and tables that users have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.labels import read_labels
from rsp_onnx.inputs.layout import InputSignature

TokenSource: TypeAlias = "str | Path | Sequence[str] | Mapping[str, int] | None"
ColumnSource: TypeAlias = "str | Path | Sequence[str] | None"


@dataclass(frozen=True)
class Names:
    """Names that pictures show.

    Attributes
    ----------
    tokens : mapping, optional
        A token's word by its id; None where there is no vocabulary.
    columns : tuple of str
        What a table's entries are called, in order; empty where nobody said.
    axes : mapping
        By input, what the model calls its axes, without the batch; '' for an axis it does not name.
    """

    tokens: Mapping[int, str] | None = field(default=None, repr=False)
    columns: tuple[str, ...] = ()
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of_places(self, name: str, given: Sequence[int], places: Sequence[int]) -> tuple[str, str]:
        """Return what rows and columns are called. given: the input's sizes; places: the map's, without channels."""
        axes = self.axes.get(name, ())
        axes = axes if len(axes) == len(given) else ("",) * len(given)
        last = tuple(given[:-1]) == tuple(places) != tuple(given[1:])
        row, column = (axes[:2] if last else axes[-2:]) if len(places) == 2 <= len(axes) else ("", "")
        return row or "row", column or "column"

    def check(self, entries: int) -> None:
        """Raise BadInput where a table of so many entries has another number of column names."""
        if self.columns and len(self.columns) != entries:
            raise BadInput(
                f"There are {len(self.columns)} column names, but the table has {entries} entries: give one for each."
            )


def read_names(
    tokens: TokenSource = None, columns: ColumnSource = None, signatures: Sequence[InputSignature] = ()
) -> Names:
    """Read a vocabulary and names of columns.

    Parameters
    ----------
    tokens : path, sequence or mapping, optional
        A text file with one token per line (the id is the line's number, from 0), a JSON table token → id, a list, or
        the ``tokenizer.json`` of Hugging Face; or such a list or table itself.
    columns : path or sequence, optional
        A text file with one name per line, a JSON list, or the names.
    signatures : sequence of InputSignature
        Of the model's inputs, which may name their axes.

    Returns
    -------
    Names

    Raises
    ------
    BadInput
        A file cannot be read, or holds no such names.
    """
    axes = {s.name: s.axes if s.is_one_sample else s.axes[1:] for s in signatures}
    told = {name: one for name, one in axes.items() if any(one)}
    return Names(_vocabulary(tokens), read_labels(columns) or () if columns is not None else (), told)


def _vocabulary(source: TokenSource) -> dict[int, str] | None:
    if source is None:
        return None
    where = f"The vocabulary {source}" if isinstance(source, (str, Path)) else "The vocabulary"
    found = _by_id(_read(Path(source)) if isinstance(source, (str, Path)) else source, where)
    if not found:
        raise BadInput(f"{where} holds no tokens: give one token per line, or a JSON table token → id.")
    return found


def _read(path: Path) -> Any:
    """Return what a file holds: the lines of a text, the data of JSON."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"The vocabulary {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"The vocabulary {path} is not UTF-8 text: save it as UTF-8.") from error
    if path.suffix.lower() != ".json":
        return text.removesuffix("\n").replace("\r\n", "\n").split("\n") if text.strip() else []
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"The vocabulary {path} is not valid JSON: {error}.") from error


def _by_id(data: Any, where: str) -> dict[int, str]:
    """Turn a list, a table, or what tokenizer.json holds into words by id."""
    if isinstance(data, Mapping) and isinstance(data.get("model"), Mapping):
        added = data.get("added_tokens") if isinstance(data.get("added_tokens"), list) else []
        return {**_by_id(data["model"].get("vocab"), where), **dict(_added(added or []))}
    if isinstance(data, Mapping):
        pairs = [(index, word) for word, index in data.items()]
    elif isinstance(data, (list, tuple)):  # a unigram model's vocab is a list of [token, log-probability]
        pairs = list(enumerate(one[0] if isinstance(one, (list, tuple)) and one else one for one in data))
    else:
        pairs = []
    for index, word in pairs:
        if not isinstance(word, str) or not isinstance(index, int) or isinstance(index, bool):
            raise BadInput(
                f"{where}: {word!r} with the id {index!r} is no token: give texts with whole numbers as ids."
            )
    return dict(pairs)


def _added(tokens: Iterable[Any]) -> Iterable[tuple[int, str]]:
    """Tokens that stand beside the vocabulary, such as [CLS]."""
    for one in tokens:
        if isinstance(one, Mapping) and isinstance(one.get("id"), int) and isinstance(one.get("content"), str):
            yield one["id"], one["content"]
