"""Which class of the model a class of the dataset is: matched by name, or read from a file that people edit."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput, BadTarget
from rsp_onnx.files import TomlError, parse_toml, save_bytes
from rsp_onnx.inputs.labels import find_class, label_of

from .annotated import OpenOptions

_SYNSET = re.compile(r"(n\d{8})(?:[\s,]+(.*))?$")
_ANY = 1 << 40  # more classes than any model has, where nobody said how many there are


@dataclass(frozen=True)
class ClassMap:
    """A dataset's class names in the model's label space.

    Attributes
    ----------
    table : mapping
        Class name of the dataset → classes of the model, none where the model has no such class. A class with several
        counts as each of them: an object of it is an object of every class listed.
    """

    table: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """Return the model's classes of a dataset class; () where there are none."""
        return self.table.get(name, ())

    def of_index(self, text: str) -> tuple[int, ...] | None:
        """Return the model's classes of a dataset's class index, by itself or by its line among WordNet ids.

        None where the mapping says nothing of it.
        """
        if text in self.table:
            return self.table[text]
        if text.isdecimal() and int(text) < len(self.table) and all(_SYNSET.match(name) for name in self.table):
            return list(self.table.values())[int(text)]
        return None

    def sources(self, class_index: int) -> tuple[str, ...]:
        """Return the dataset classes that are this class of the model."""
        return tuple(name for name, classes in self.table.items() if class_index in classes)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Dataset classes without a class of the model."""
        return tuple(name for name, classes in self.table.items() if not classes)


def class_map(sources: Sequence[str], options: OpenOptions) -> ClassMap:
    """Return the mapping of a dataset's classes: from the file, else by name, else by position.

    Parameters
    ----------
    sources : sequence of str
        The dataset's class names in the dataset's own order.
    options : OpenOptions
        Its mapping is a .toml or .csv file (see ``write_mapping``), or a list of WordNet ids with words, one class per
        line; its classes are by default as many as there are labels.

    Raises
    ------
    BadInput
        The file cannot be read, or names a class that the model has not; or there are neither names nor a file, and
        the counts of classes differ.
    """
    count = options.class_count
    if options.mapping is not None:
        return read_mapping(options.mapping, options.names, count)
    if options.names is not None:
        return ClassMap(match_names(sources, options.names))
    if sources and all(name.isdecimal() for name in sources):
        return ClassMap({name: (int(name),) for name in sources if count is None or int(name) < count})
    background = None if count is None else count - len(sources)
    if background not in (0, 1):  # one more class in the model is a background class in front
        raise BadInput(
            f"The model has no labels, and its {count or 'unknown number of'} classes are not the dataset's "
            f"{len(sources)}: give --labels, or a --mapping file."
        )
    return ClassMap({name: (i + background,) for i, name in enumerate(sources)})


def fold(name: str) -> str:
    """Return a name without what spellings differ in: case, spaces, underscores, hyphens."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def match_names(sources: Iterable[str], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return by dataset class the model's class of the same name, else the only one with that synonym, else ()."""
    labels: dict[str, list[int]] = {}
    synonyms: dict[str, list[int]] = {}
    for index, label in enumerate(names):
        labels.setdefault(fold(label), []).append(index)
        for part in label.split(","):
            synonyms.setdefault(fold(part), []).append(index)
    matches: dict[str, tuple[int, ...]] = {}
    for source in sources:
        hits = labels.get(fold(source)) or synonyms.get(fold(source), [])
        matches[source] = tuple(hits) if len(hits) == 1 else ()  # two classes of one name: a person must say which
    return matches


def read_mapping(path: Path, names: Sequence[str] | None, classes: int | None) -> ClassMap:
    """Read a mapping file; BadInput in one sentence where it is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"The mapping file {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"The mapping file {path} is not UTF-8 text: save it as UTF-8.") from error
    ending = path.suffix.lower()
    if ending == ".toml":
        wanted = _from_toml(path, text)
    elif ending == ".csv":
        wanted = _from_csv(path, text)
    else:
        return ClassMap(_from_synsets(path, text, names, classes))
    count = classes if classes is not None else (len(names) if names else _ANY)
    return ClassMap({name: _indices(path, name, given, names, count) for name, given in wanted.items()})


def _from_toml(path: Path, text: str) -> dict[str, list[Any]]:
    try:
        data = parse_toml(text)
    except TomlError as error:
        raise BadInput(f"The mapping file {path} is not valid TOML: {error}.") from error
    table = data.get("classes")
    if not isinstance(table, dict):
        raise BadInput(f'The mapping file {path} has no table [classes]: write lines like "dog" = 5 below [classes].')
    return {name: list(given) if isinstance(given, list) else [given] for name, given in table.items()}


def _from_csv(path: Path, text: str) -> dict[str, list[Any]]:
    rows = csv.DictReader(io.StringIO(text))
    if not {"dataset", "model"} <= set(rows.fieldnames or ()):
        raise BadInput(f"The mapping file {path} needs the columns dataset,model in its first line.")
    wanted: dict[str, list[Any]] = {}
    for row in rows:
        wanted.setdefault((row["dataset"] or "").strip(), []).append((row["model"] or "").strip())
    return wanted


def _indices(path: Path, name: str, given: list[Any], names: Sequence[str] | None, count: int) -> tuple[int, ...]:
    indices = []
    for one in given:
        if one == "":
            continue
        if isinstance(one, bool) or not isinstance(one, (str, int)):
            raise BadInput(f'{path}: {name!r} is mapped to {one!r}: give an index, a label, a list of them, or "".')
        try:
            indices.append(find_class(one, names, count))
        except BadTarget as error:
            raise BadInput(f"{path}: {name!r} is mapped to {one!r}, which the model has not: {error}") from error
    return tuple(dict.fromkeys(indices))


def _from_synsets(
    path: Path, text: str, names: Sequence[str] | None, classes: int | None
) -> dict[str, tuple[int, ...]]:
    """Read lines ``n01440764 tench, Tinca tinca``: the line's number is the class, after a background class if any."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [_SYNSET.match(line) for line in lines]
    if not lines or not all(matches):
        raise BadInput(
            f"The mapping file {path} must be .toml, .csv (columns dataset,model), or lines of a WordNet id and words, "
            "one per class."
        )
    offset = 1 if classes == len(lines) + 1 else 0
    if classes is not None and classes != len(lines) + offset:
        raise BadInput(f"The mapping file {path} has {len(lines)} classes, but the model has {classes}.")
    return {m[1]: _of_line(i + offset, m[2] or "", names) for i, m in enumerate(matches) if m}


def _of_line(index: int, words: str, names: Sequence[str] | None) -> tuple[int, ...]:
    """Return the class of a line: by its place, but by its words where the model's labels stand in another order."""
    if names is None or not words or (index < len(names) and fold(names[index]) == fold(words)):
        return (index,)
    others = [i for i, name in enumerate(names) if fold(name) == fold(words)]
    return (others[0],) if len(others) == 1 else (index,)


def write_mapping(dataset: Any, names: Sequence[str], path: str | Path) -> tuple[str, ...]:
    """Write a first draft of the mapping (.toml or .csv), to be edited, and return the names that found no match.

    Parameters
    ----------
    dataset
        One of ours; its ``sources`` are written.
    names : sequence of str
        The model's labels.
    """
    matches = match_names(dataset.sources, names)
    if Path(path).suffix.lower() == ".csv":
        text = _as_csv(matches)
    elif Path(path).suffix.lower() == ".toml":
        text = _as_toml(matches, names)
    else:
        raise BadInput(f"{path}: a mapping is written as .toml or .csv.")
    save_bytes(path, text.encode())
    return tuple(name for name, hits in matches.items() if not hits)


def _as_csv(matches: Mapping[str, tuple[int, ...]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("dataset", "model"))
    writer.writerows((name, hits[0] if hits else "") for name, hits in matches.items())
    return out.getvalue()


def _as_toml(matches: Mapping[str, tuple[int, ...]], names: Sequence[str]) -> str:
    lines = [
        '# Class of the dataset = class of the model: an index, a label, a list of them, or "" for none.',
        "[classes]",
    ]
    for name, hits in matches.items():
        key = json.dumps(name, ensure_ascii=False)  # a JSON string is a TOML string
        lines.append(f"{key} = {hits[0]}  # {_comment(label_of(hits[0], names))}" if hits else _open(key, name, names))
    return "\n".join(lines) + "\n"


def _open(key: str, name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = "; near: " + ", ".join(f"{names.index(n)} {_comment(n)}" for n in near) if near else ""
    return f'{key} = ""  # no class of that name{hint}'


def _comment(text: str) -> str:
    """Return a label as a comment can hold it."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)
