"""What report.html shows, as plain values: tables, bars, distributions, pictures, errors, where it all comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rsp_onnx.evaluate.runs.folder import read_columns, read_json
from rsp_onnx.evaluate.runs.table import ARROWS, behind, is_rsp, number
from rsp_onnx.types import Record

from . import charts
from .group import Group, prefix
from .items import items_table
from .pictures import scalar_columns
from .tables import subset_tables, table_of_all
from .verdict import verdict

_CLASSES = 40  # classes shown per metric, those with the most rows
_ERRORS = 200  # shown; all are in errors.csv


def page_data(groups: Sequence[Group], summaries: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> Record:
    """Return everything the template draws.

    summaries: one per group; summary: of all together, methods named as they are shown.
    """
    methods = list(dict.fromkeys(figure["method"] for figure in summary["metrics"]))
    colours = {method: charts.colour(i) for i, method in enumerate(methods)}
    shown = pictures(groups)
    anchors = {case["item"]: case["anchor"] for group in reversed(shown) for case in group["cases"]}
    return {
        "title": " · ".join(group.name for group in groups), "counts": summary["counts"],
        "methods": [{"name": m, "colour": colours[m], "rsp": is_rsp(m.rpartition(" · ")[2])} for m in methods],
        "colours": colours, "table": table_of_all(summary), "behind": behind(summary) if len(groups) == 1 else [],
        "subsets": subset_tables(summary), "metrics": [_metric(spec, groups) for spec in _specs(groups)],
        "pictures": shown, "verdict": verdict(summary, bool(shown)),
        "items": items_table(groups, anchors), "errors": summary["errors"][:_ERRORS],
        "more_errors": max(len(summary["errors"]) - _ERRORS, 0),
        "runs": [_origin(group, one) for group, one in zip(groups, summaries, strict=True)],
    }  # fmt: skip


def _specs(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(spec for group in groups for spec in group.run["kinds"]))


def _metric(spec: str, groups: Sequence[Group]) -> Record:
    """Return what a metric is, its values by class, and how they are distributed."""
    having = [group for group in groups if spec in group.run["kinds"]]
    kind = having[0].run["kinds"][spec]
    page: Record = {**kind, "spec": spec, "arrow": ARROWS[kind["direction"]], "classes": None, "distribution": None}
    page["curve"] = None
    if kind["of_models"]:
        return page
    tables = [(prefix(group, groups), group, _rows(group, spec)) for group in having]
    column = dict(scalar_columns(having[0].run["columns"], {spec: kind})).get(spec)
    if column is not None:
        values = {p + m: _numbers(t, m, column) for p, group, t in tables for m in group.run["fingerprint"]["methods"]}
        page["classes"] = _classes(values, kind)
        if having[0].run["columns"][column] == "float64":
            page["distribution"] = charts.histograms({m: v for m, (_, v) in values.items()})
    page["curve"] = _curve(spec, tables)
    return page


def _rows(group: Group, spec: str) -> pa.Table:
    own = [name for name in group.run["columns"] if name.startswith(f"{spec}.")]
    return read_columns(group.parts, ["method", "label", *own])


def _numbers(rows: pa.Table, method: str, column: str) -> tuple[list[str], Any]:
    """Return the labels and the values (float64) of a method's rows that have a value."""
    own = rows.filter(pc.and_(pc.equal(rows["method"], method), pc.is_valid(rows[column])))
    return own["label"].to_pylist(), np.asarray(own[column].cast(pa.int8() if _is_bool(own, column) else pa.float64()),
                                                np.float64)  # fmt: skip


def _is_bool(rows: pa.Table, column: str) -> bool:
    return bool(pa.types.is_boolean(rows[column].type))


def _classes(values: Mapping[str, tuple[list[str], Any]], kind: Mapping[str, Any]) -> Record | None:
    """Return the mean by class and method, with the length of its bar as a share of the scale."""
    sums: dict[str, dict[str, list[float]]] = {}
    for method, (labels, numbers) in values.items():
        for label, value in zip(labels, numbers, strict=True):
            sums.setdefault(label, {}).setdefault(method, []).append(value)
    sizes = {label: max(len(v) for v in by_method.values()) for label, by_method in sums.items()}
    shown = sorted(sizes, key=lambda label: -sizes[label])[:_CLASSES]
    if len(sizes) < 2:
        return None
    means = {label: {m: float(np.mean(v)) for m, v in sums[label].items()} for label in shown}
    low, high = _scale(kind["bounds"], [v for by_method in means.values() for v in by_method.values()])
    rows = [
        {"label": label, "n": sizes[label],
         "cells": [_bar_cell(means[label].get(m), low, high) for m in values]}
        for label in shown
    ]  # fmt: skip
    return {"methods": list(values), "rows": rows, "more": len(sizes) - len(shown)}


def _scale(bounds: Sequence[float | None], values: Iterable[float]) -> tuple[float, float]:
    low, high = bounds
    every = [v for v in values if np.isfinite(v)] or [0.0]
    return (min(0.0, *every) if low is None else low), (max(0.0, *every) if high is None else high)


def _bar_cell(value: float | None, low: float, high: float) -> Record:
    if value is None or not np.isfinite(value):
        return {"text": "–", "share": 0.0}
    return {"text": number(value), "share": round(100 * min(max((value - low) / ((high - low) or 1), 0), 1), 1)}


def _curve(spec: str, tables: Sequence[tuple[str, Group, pa.Table]]) -> Record | None:
    _, first, _ = tables[0]
    names = [n for n, kind in first.run["columns"].items() if n.startswith(f"{spec}.") and kind == "list<float64>"]
    if not names:
        return None
    curves: dict[str, list[list[float]]] = {}
    for before, group, rows in tables:
        for method in group.run["fingerprint"]["methods"]:
            own = rows.filter(pc.equal(rows["method"], method))[names[0]]
            curves[before + method] = [c for c in own.to_pylist() if c and None not in c]
    drawn = charts.curves(curves)
    return None if drawn is None else {**drawn, "column": names[0].removeprefix(f"{spec}.")}


def pictures(groups: Sequence[Group]) -> list[Record]:
    """Return the pictures the runs saved, by group; files that are gone are left out."""
    by_title: dict[str, list[Record]] = {}
    for group in groups:
        for store in group.stores:
            index = store.pictures / "pictures.json"
            for one in read_json(index) if index.is_file() else []:
                title = prefix(group, groups) + one["group"]
                by_title.setdefault(title, []).append(_picture(store.pictures, one))
    found = []
    for place, (title, cases) in enumerate(by_title.items()):
        named = [{**case, "anchor": f"case-{place}-{n}"} for n, case in enumerate(cases)]
        found.append({"title": title, "cases": named, "metric": cases[0]["metric"], "number": place})
    return found


def _picture(folder: Path, one: Mapping[str, Any]) -> Record:
    maps = [
        {"method": m, "file": folder / name, "value": _value(one["values"].get(m))} for m, name in one["maps"].items()
    ]
    photo = None if one["photo"] is None else folder / one["photo"]
    return {"item": one["item"], "label": one["label"], "metric": one["metric"], "photo": photo, "maps": maps}


def _value(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value)


def _origin(group: Group, summary: Mapping[str, Any]) -> Record:
    """Return where a run's figures come from, as lines of (what, text)."""
    info = summary["fingerprint"]
    shown = {
        "model": f"{summary['model']} (sha256 {info['model_sha256']})",
        "data": f"{summary['data']} ({info['format']}, split: {info['split'] or 'the format’s own'})",
        "items": f"{summary['counts']['items']} of {info['items']}, order: {summary['order']}",
        "seed": info["seed"] if info["seed"] is not None else 0,
        "preprocessing": f"{summary['preprocessing']['name']} ({summary['preprocessing']['source']})",
        "execution provider": summary["provider"] or "unknown",
        "time": f"{summary['seconds']:.1f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
        "command": summary["command"] or "called from Python",
    }
    if summary.get("missing_parts"):
        shown["not finished"] = f"{summary['missing_parts']} parts of 16 items are missing"
    speeds = [{"method": m, "ms": f"{1000 * s:.1f}"} for m, s in summary["seconds_per_map"].items()]
    return {"name": group.name, "lines": list(shown.items()), "speeds": speeds}
