"""The table of every item: what each metric says of it by each method, with a link where its pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from rsp_onnx.evaluate.runs.folder import read_columns
from rsp_onnx.evaluate.runs.table import number
from rsp_onnx.types import Record

from .group import Group, prefix
from .pictures import scalar_columns

_MOST = 4000  # rows of the page; all are in the run's rows


def items_table(groups: Sequence[Group], anchors: Mapping[str, str]) -> Record:
    """Return ``heads``, ``rows`` (item, label, anchor, cells) and how many ``more`` there are.

    anchors: where the pictures of an item are in the page.
    """
    columns = [
        (group, method, spec, column)
        for group in groups
        for spec, column in scalar_columns(group.run["columns"], group.run["kinds"])
        for method in group.run["fingerprint"]["methods"]
    ]
    values: dict[tuple[str, str, str], dict[int, str]] = {}
    for group in groups:
        places = {(m, column): i for i, (g, m, _, column) in enumerate(columns) if g is group}
        _collect(group, places, values)
    shown = list(islice(values.items(), _MOST))
    rows = [
        {"item": item, "label": label, "anchor": anchors.get(item),
         "cells": [found.get(i, "–") for i in range(len(columns))]}
        for (item, _, label), found in shown
    ]  # fmt: skip
    heads = [f"{prefix(group, groups)}{method} · {spec}" for group, method, spec, _ in columns]
    return {"heads": heads, "rows": rows, "more": len(values) - len(shown)}


def _collect(
    group: Group, places: Mapping[tuple[str, str], int], values: dict[tuple[str, str, str], dict[int, str]]
) -> None:
    """Add a run's values, by case and column of the table."""
    names = list(dict.fromkeys(column for _, column in places))
    for path in group.parts:  # part by part: as Python objects, all rows at once would take gigabytes
        for row in read_columns([path], ["item", "target", "label", "method", *names]).to_pylist():
            case = values.setdefault((row["item"], str(row["target"]), row["label"]), {})
            for name in names:
                place = places.get((row["method"], name))
                if place is not None:
                    case[place] = _text(row[name])


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return ("yes" if value else "no") if isinstance(value, bool) else number(float(value))
