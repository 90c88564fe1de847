"""The folder of exported graphs and its manifest: what each file is, so that a runner knows what to expect of it."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

MANIFEST = "manifest.json"
# "not differentiable" covers trees, support vectors and branches on the data: they may be refused.
KINDS = ("spatial", "tokens", "sequence", "tabular", "segmentation", "not differentiable")
EXPLAINABLE = ("spatial", "tokens", "sequence")


class Shelf:
    """A folder that exporters write into, one file at a time; a failed export is reported and counted.

    Parameters
    ----------
    folder : where the files and ``manifest.json`` go; created.
    half : ``small`` writes only what is marked small, ``full`` everything.
    only : part of a file's name; everything else is left out.
    """

    def __init__(self, folder: Path, half: str = "full", only: str = "") -> None:
        self.folder, self.half, self.only = folder, half, only
        self.failed: dict[str, str] = {}
        self.records: dict[str, dict[str, object]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def put(
        self, name: str, kind: str, write: Callable[[Path], object], *, small: bool = False, source: str | None = None
    ) -> None:
        """Write one file by calling ``write`` with its path, unless this half leaves it out."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {KINDS}")
        if (self.half == "small" and not small) or self.only not in name:
            return
        path, start = self.folder / f"{name}.onnx", time.perf_counter()
        try:
            write(path)
            if not path.is_file():
                raise FileNotFoundError(f"the exporter wrote no {path.name}")
        except Exception as error:
            self._fail(name, path, error)
            return
        record = {"name": name, "framework": name.split("__")[0], "half": "small" if small else "full", "kind": kind}
        self.records[name] = record | ({"source": source} if source else {})
        size = path.stat().st_size / 2**20
        print(f"{name}: {size:.2f} MiB in {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)

    def _fail(self, name: str, path: Path, error: Exception) -> None:
        first = (str(error).strip().splitlines() or [""])[0][:300]
        where = traceback.extract_tb(error.__traceback__)[-1]
        self.failed[name] = f"{type(error).__name__}: {first} ({Path(where.filename).name}:{where.lineno})"
        print(f"{name}: FAILED {self.failed[name]}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)

    def close(self) -> int:
        """Add what was written to the manifest and return the exit code: 1 if nothing at all could be exported."""
        held = read(self.folder)
        held["graphs"] = {k: v for k, v in held["graphs"].items() if k not in self.failed} | self.records
        held["failed"] = {k: v for k, v in held["failed"].items() if k not in self.records} | self.failed
        text = json.dumps({part: dict(sorted(rows.items())) for part, rows in held.items()}, indent=1)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        print(f"{len(self.records)} exported, {len(self.failed)} failed", file=sys.stderr)
        return int(bool(self.failed) and not self.records)


def read(folder: Path) -> dict[str, dict[str, object]]:
    """Return the manifest of a folder: ``graphs`` and ``failed``, both by name."""
    path = folder / MANIFEST
    held: dict[str, dict[str, object]] = {"graphs": {}, "failed": {}}
    return held | (json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})


def shelf_of(description: str | None) -> Shelf:
    """Parse the command line that all exporters share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the graphs and manifest.json go")
    parser.add_argument("--half", choices=("small", "full"), default="full")
    parser.add_argument("--only", default="", help="part of the names to export")
    arguments = parser.parse_args()
    return Shelf(arguments.folder, arguments.half, arguments.only)
