"""Which SPEC files a change concerns: those that name a changed file, and those a file of which was deleted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.find_preprocess import file_beside
from rsp_onnx.model.weights import named_data_files

from .read import goldens_of, read_entries

ENDINGS = (".rsp.toml", ".rsp.yaml", ".rsp.yml")


def concerned_specs(changed: Sequence[str | Path], folder: str | Path = ".") -> list[Path]:
    """Return the SPEC files that a change concerns, in the order of their names.

    A SPEC is concerned where a changed file is SPEC itself, the model or its external data, the preprocessing, labels,
    goldens, an image, a mask, or lies in the folder of the dataset; where one of these is gone that git has in the
    commit before; and where SPEC cannot be read, so that nobody knows what it names.

    Parameters
    ----------
    changed : sequence of path
        Files that were changed, deleted ones too where they are known; they need not be there.
    folder : path
        SPEC files in it and below are looked at, but for hidden folders and virtual environments.
    """
    places = [Path(os.path.realpath(file)) for file in changed]
    return [spec for spec in spec_files(folder) if _is_concerned(spec, places)]


def spec_files(folder: str | Path) -> Iterator[Path]:
    """Yield the SPEC files in a folder and below, in the order of their names."""
    for place, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:  # installed packages may bring their own
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(files) if name.endswith(ENDINGS))


def _is_concerned(spec: Path, changed: Sequence[Path]) -> bool:
    try:
        entries, _ = read_entries(spec)
    except BadInput:
        return True
    named = _named(spec, entries if isinstance(entries, Mapping) else {})
    places = {Path(os.path.realpath(file)) for file in named.files}
    if not places.isdisjoint(changed) or any(file.is_relative_to(f) for file in changed for f in named.folders):
        return True
    return _reads_weights(named.model, changed) or _was_deleted([file for file in named.files if not file.exists()])


@dataclass(frozen=True)
class _Named:
    model: Path | None
    files: frozenset[Path]
    folders: tuple[Path, ...]


def _named(spec: Path, entries: Mapping[Any, Any]) -> _Named:
    """Return what SPEC names, as far as it is a name: what else is wrong with SPEC is told when it is checked."""
    base, images, folder = spec.parent, entries.get("image"), entries.get("folder")
    tables = [table for table in (images if isinstance(images, list) else []) if isinstance(table, Mapping)]
    folder = folder if isinstance(folder, Mapping) else {}
    given = [entries.get(key) for key in ("model", "labels", "preprocess")] + [folder.get("mapping")]
    given += [table.get(key) for table in tables for key in ("path", "mask")]
    files = {spec, goldens_of(spec, entries), *(base / name for name in given if isinstance(name, str))}
    model = base / entries["model"] if isinstance(entries.get("model"), str) else None
    if model is not None:
        files.add(file_beside(model))
    data = base / folder["data"] if isinstance(folder.get("data"), str) else None
    if data is not None:
        files.add(data)
        data = data if data.is_dir() else data.parent  # a table of photos, which lie beside it
    return _Named(model, frozenset(files), () if data is None else (Path(os.path.realpath(data)),))


def _reads_weights(model: Path | None, changed: Sequence[Path]) -> bool:
    """Tell whether a changed file is external data of a model; it is read only where one lies in its folder."""
    if model is None or not any(file.is_relative_to(os.path.realpath(model.parent)) for file in changed):
        return False
    return not {Path(os.path.realpath(file)) for file in named_data_files(model)}.isdisjoint(changed)


def _was_deleted(missing: Sequence[Path]) -> bool:
    """Tell whether git has one of the files in the commit before: pre-commit hands over no deleted files."""
    before = os.environ.get("PRE_COMMIT_FROM_REF") or "HEAD"
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # a hook's are for its folder
    for file in map(Path.absolute, missing):
        folder = next(parent for parent in file.parents if parent.is_dir())
        asked = ["git", "ls-tree", "--name-only", before, "--", os.path.relpath(file, folder)]
        try:
            found = subprocess.run(asked, cwd=folder, env=own, capture_output=True, check=False)
        except OSError:  # no git, so no history
            return False
        if found.stdout:
            return True
    return False
