"""A run on disk: its configuration, and its rows in Parquet parts that are there completely or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rsp_onnx.errors import BadInput
from rsp_onnx.files import make_folder, save_json, write_atomically
from rsp_onnx.types import Record

COMMON = {
    "item": "string", "image": "string", "target": "int64", "label": "string", "method": "string", "score": "float64",
    "predicted": "int64", "classes": "int64", "area": "float64", "width": "int64", "height": "int64",
    "hostile": "list<int64>", "seconds": "float64", "remarks": "string",
    "error": "string",
}  # fmt: skip
_PART_NAME = re.compile(r"part-(\d{6,})\.parquet")
Rows = Sequence[Mapping[str, Any]]


def arrow_type(name: str) -> pa.DataType:
    """Return Arrow's type of a name such as ``float64`` or ``list<float64>``."""
    if name.startswith("list<") and name.endswith(">"):
        return pa.list_(arrow_type(name[5:-1]))
    return pa.type_for_alias(name)


def schema_of(columns: Mapping[str, str]) -> pa.Schema:
    """Return the schema of a run's rows: the common columns, then the metrics', named ``<metric>.<column>``."""
    return pa.schema([(name, arrow_type(kind)) for name, kind in {**COMMON, **columns}.items()])


class Store:
    """The folder of a run.

    ``run.json`` (what was asked for), ``rows/part-NNNNNN.parquet`` (one row per item, target and method),
    ``models/*.json`` (records of metrics that measure a model), ``pictures/``, ``summary.json``, ``errors.csv``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.rows = self.folder / "rows"
        self.models = self.folder / "models"
        self.pictures = self.folder / "pictures"

    def begin(self) -> None:
        """Create the folders and remove what a killed run left half written."""
        for folder in (self.folder, self.rows):
            make_folder(folder)
            for left in folder.glob(".rsp-*.tmp"):
                left.unlink(missing_ok=True)

    def read(self, name: str) -> Record | None:
        """Return run.json or summary.json; None where no run has begun, or ended, here."""
        path = self.folder / name
        return read_json(path) if path.is_file() else None

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json."""
        save_json(self.folder / "run.json", run)

    def part(self, number: int) -> Path:
        """Return a part's file."""
        return self.rows / f"part-{number:06d}.parquet"

    def parts(self) -> dict[int, Path]:
        """Return the parts that are there, by number, in order."""
        files = ((_PART_NAME.fullmatch(path.name), path) for path in self.rows.glob("part-*.parquet"))
        return dict(sorted((int(match[1]), path) for match, path in files if match))

    def write_part(self, number: int, table: pa.Table) -> None:
        """Write a part under a temporary name, then give it its own."""
        write_atomically(self.part(number), lambda file: pq.write_table(table, file, compression="zstd"))


def parts_of(stores: Iterable[Store]) -> list[Path]:
    """Return the parts of a run and its shards, in the run's order."""
    return [path for _, path in sorted((n, p) for store in stores for n, p in store.parts().items())]


def table_of(rows: Rows, schema: pa.Schema) -> pa.Table:
    """Return rows as an Arrow table; a column that a row does not have is null there."""
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def read_json(path: Path) -> Any:
    """Read a JSON file of a run; BadInput where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as JSON ({error}); it belongs to no run of this program.") from error


def read_columns(paths: Iterable[Path], columns: Sequence[str]) -> pa.Table:
    """Return columns of all rows of several parts, in order; BadInput where a part is damaged."""
    tables = []
    for path in paths:
        try:
            tables.append(pq.ParquetFile(path).read(columns=list(columns)))
        except (OSError, pa.ArrowException) as error:
            raise BadInput(
                f"{path} cannot be read as Parquet ({error}); delete it and run the same command again."
            ) from error
    if not tables:
        raise BadInput("There are no rows yet; run the evaluation first.")
    return pa.concat_tables(tables)
