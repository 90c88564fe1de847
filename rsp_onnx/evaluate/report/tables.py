"""The report's tables of figures: methods × metrics, and per metric what it says of subsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsp_onnx.evaluate.runs.table import ARROWS, best, number, overall
from rsp_onnx.types import Record

from . import charts

_SUBSETS = 60  # further figures shown per metric; all are in summary.json


def table_of_all(summary: Mapping[str, Any]) -> Record:
    """Return methods × metrics: the overall figures."""
    figures = overall(summary)
    names = list(dict.fromkeys(metric for _, metric in figures))
    columns = {name: [f for (_, metric), f in figures.items() if metric == name] for name in names}
    tops, ends = {n: best(c) for n, c in columns.items()}, {n: charts.limits(c) for n, c in columns.items()}
    heads = [f"{n} {ARROWS[columns[n][0]['direction']]}" for n in names]
    rows = [
        {"method": m, "cells": [_cell(figures.get((m, n)), m in tops[n], ends[n]) for n in names]}
        for m in dict.fromkeys(method for method, _ in figures)
    ]
    return {"names": names, "heads": heads, "rows": rows, "whisker": charts.WHISKER}


def _cell(figure: Mapping[str, Any] | None, top: bool, ends: tuple[float, float]) -> Record:
    if figure is None or figure["value"] is None:
        return {"text": "–", "sort": "", "n": 0, "best": False, "interval": "", "whisker": None}
    interval = "" if figure["low"] is None else f"{number(figure['low'])} – {number(figure['high'])}"
    return {
        "text": number(figure["value"]), "sort": repr(float(figure["value"])), "n": figure["n"], "best": top,
        "interval": interval, "whisker": charts.whisker(figure, *ends),
    }  # fmt: skip


def subset_tables(summary: Mapping[str, Any]) -> list[Record]:
    """Return per metric a table of its further figures: subsets × methods; [] where it has the overall one alone."""
    tables = []
    for name in dict.fromkeys(figure["metric"] for figure in summary["metrics"]):
        lines = [f for f in summary["metrics"] if f["metric"] == name]
        methods = list(dict.fromkeys(f["method"] for f in lines))
        by_place = {(f["subset"], f["method"]): f for f in lines}
        kinds = list(dict.fromkeys(f["subset"] for f in lines))
        if len(kinds) < 2:
            continue
        rows = []
        for kind in kinds[:_SUBSETS]:
            figures = [by_place[kind, m] for m in methods if (kind, m) in by_place]
            tops, ends = best(figures), charts.limits(figures)
            cells = [_cell(by_place.get((kind, m)), m in tops, ends) for m in methods]
            rows.append({"name": kind, "n": max(f["n"] for f in figures), "cells": cells})
        page = {"metric": name, "arrow": ARROWS[lines[0]["direction"]], "methods": methods, "rows": rows}
        tables.append({**page, "count": len(kinds)})
    return tables
