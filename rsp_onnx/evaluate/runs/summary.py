"""From rows to figures: summary.json and errors.csv."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rsp_onnx.evaluate.metrics.protocol import Figure
from rsp_onnx.files import save_bytes, save_json
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .folder import Store, parts_of, read_columns, read_json
from .rows import NO_CLASS
from .settings import map_metrics, model_metrics

_FOR_FIGURES = ("item", "target", "label", "area", "classes", "score", "predicted")
_PACKAGES = ("onnx", "onnxruntime-gpu", "onnxruntime", "numpy", "pyarrow", "scipy", "scikit-image")


def summarise(store: Store, *, provenance: Mapping[str, Any]) -> Record:
    """Compute the figures of a run's rows, write summary.json and errors.csv, and return the summary."""
    summary = summary_of([store], provenance)
    save_summary(store.folder, summary)
    return summary


def save_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json and errors.csv."""
    save_json(folder / "summary.json", summary)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["item", "image", "method", "error"])
    writer.writerows([row["item"], row["image"] or "", row["method"] or "", row["error"]] for row in summary["errors"])
    save_bytes(folder / "errors.csv", text.getvalue().encode())


def summary_of(stores: Sequence[Store], provenance: Mapping[str, Any]) -> Record:
    """Return the summary of one run, whole or in shards."""
    parts = parts_of(stores)
    info = provenance["fingerprint"]
    heads = read_columns(parts, ["item", "image", "method", "error", "seconds", "remarks"])
    return {
        "metrics": [*_figures(parts, info), *_model_figures(stores, info)],
        "errors": [*_errors(heads), *_model_errors(stores)],
        "counts": _counts(heads),
        "remarks": _remarks(heads),
        "seconds_per_map": _seconds(heads, info["methods"]),
        "versions": versions(),
        **provenance,
    }


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    packages = {"rsp-onnx": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return packages


def rows_of(parts: Sequence[Path], spec: str, columns: Sequence[str], method: str) -> dict[str, list[Any]]:
    """Return one method's rows as a metric sees them: its own columns without its name in front."""
    names = [f"{spec}.{column}" for column in columns]
    table = read_columns(parts, [*_FOR_FIGURES, "method", *names])
    table = table.filter(pc.equal(table["method"], method))
    common = {name: table[name].to_pylist() for name in _FOR_FIGURES}
    return {**common, **{column: table[name].to_pylist() for column, name in zip(columns, names, strict=True)}}


def _figures(parts: Sequence[Path], info: Mapping[str, Any]) -> list[Record]:
    figures = []
    for spec, metric in map_metrics(info["metrics"]):
        for method in info["methods"]:
            rows = rows_of(parts, spec, list(metric.columns), method)
            figures += [_line(spec, method, figure) for figure in metric.figures(rows)]
    return figures


def _model_figures(stores: Sequence[Store], info: Mapping[str, Any]) -> list[Record]:
    by_name = {(r["metric"], r["method"]): r["records"] for r in _model_records(stores)}
    figures = []
    for spec, metric in model_metrics(info["metrics"]):
        for method in info["methods"]:
            lines = by_name.get((spec, method), [])
            figures += [_line(spec, method, figure) for figure in (metric.figures(lines) if lines else [])]
    return figures


def _model_records(stores: Sequence[Store]) -> list[Record]:
    return [read_json(path) for store in stores for path in sorted(store.models.glob("*.json"))]


def _model_errors(stores: Sequence[Store]) -> list[Record]:
    return [
        {"item": f"({r['metric']})", "image": None, "method": r["method"], "error": r["error"]}
        for r in _model_records(stores)
        if r["error"]
    ]


def _line(spec: str, method: str, figure: Figure) -> Record:
    return {
        "method": method, "metric": spec, "subset": figure.subset, "value": _finite(figure.value),
        "low": _finite(figure.low), "high": _finite(figure.high), "n": int(figure.n), "direction": figure.direction,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _errors(heads: pa.Table) -> list[Record]:
    broken = heads.filter(pc.is_valid(heads["error"])).select(["item", "image", "method", "error"])
    return [row for row in broken.to_pylist() if not row["error"].startswith(NO_CLASS)]


def _counts(heads: pa.Table) -> dict[str, int]:
    """Count items: usable, without a class the model knows, broken; and rows of methods, good and failed."""
    unusable = heads.filter(pc.is_null(heads["method"]))
    skipped = sum(error.startswith(NO_CLASS) for error in unusable["error"].to_pylist())
    rows = heads.filter(pc.is_valid(heads["method"]))
    failed = len(rows.filter(pc.is_valid(rows["error"])))
    items = len(pc.unique(heads["item"]))
    return {
        "items": items, "usable": items - len(unusable), "skipped": skipped, "broken": len(unusable) - skipped,
        "maps": len(rows), "failed_maps": failed,
    }  # fmt: skip


def _remarks(heads: pa.Table) -> Record:
    """Return how many items' photos were read with a loss or a guess, and what was said of the first of them."""
    said = heads.filter(pc.is_valid(heads["remarks"]))
    first = said.slice(0, 1).to_pylist()
    return {
        "items": len(pc.unique(said["item"])),
        "first": f"{first[0]['item']}: {first[0]['remarks']}" if first else "",
    }


def _seconds(heads: pa.Table, methods: Sequence[str]) -> dict[str, float]:
    seconds = {}
    for method in methods:
        times = heads.filter(pc.equal(heads["method"], method))["seconds"]
        if len(times):
            seconds[method] = float(pc.approximate_median(times).as_py())
    return seconds
