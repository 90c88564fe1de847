"""The table of a run on a terminal: methods × metrics, the best marked, and where RSP does not lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsp_onnx.types import Record

ARROWS = {"higher": "↑", "lower": "↓"}


def overall(summary: Mapping[str, Any]) -> dict[tuple[str, str], Record]:
    """Return the overall figure by (method, metric): the first of each."""
    figures: dict[tuple[str, str], Record] = {}
    for figure in summary["metrics"]:
        figures.setdefault((figure["method"], figure["metric"]), figure)
    return figures


def best(figures: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the methods with the best figure of one metric; nobody where there is no comparison."""
    known = [f for f in figures if f["value"] is not None]
    if len(known) < 2:
        return set()
    choose = max if known[0]["direction"] == "higher" else min
    top = choose(f["value"] for f in known)
    return {f["method"] for f in known if f["value"] == top}


def is_rsp(method: str) -> bool:
    """Tell whether a spec is a variant of RSP."""
    return method.partition(":")[0] == "rsp"


def summary_table(summary: Mapping[str, Any]) -> str:
    """Return the table as text, with what a reader must know beside it."""
    figures = overall(summary)
    methods = list(dict.fromkeys(method for method, _ in figures))
    names = list(dict.fromkeys(metric for _, metric in figures))
    columns = {name: [figures[m, name] for m in methods if (m, name) in figures] for name in names}
    marked = {name: best(columns[name]) for name in names}
    rows = [["method", *(_title(name, columns[name]) for name in names)]]
    rows += [[m, *(_cell(figures.get((m, name)), m in marked[name]) for name in names)] for m in methods]
    lines = [_aligned(rows), "", "* best; in brackets the 95 % interval; ↑ higher is better, ↓ lower."]
    return "\n".join([*lines, *behind(summary), *_notes(summary)])


def behind(summary: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each metric that no variant of RSP leads."""
    figures, sentences = overall(summary), []
    for name in dict.fromkeys(metric for _, metric in figures):
        column = [f for (_, metric), f in figures.items() if metric == name and f["value"] is not None]
        leaders = best(column)
        own = [f for f in column if is_rsp(f["method"])]
        if not own or not leaders or any(is_rsp(m) for m in leaders):
            continue
        choose = max if column[0]["direction"] == "higher" else min
        mine = choose(own, key=lambda f: f["value"])
        top = next(f for f in column if f["method"] in leaders)
        separate = mine["low"] is not None and top["low"] is not None and not _overlap(mine, top)
        close = "" if separate else ", within the intervals"
        sentences.append(
            f"RSP does not lead {name}: {top['method']} {number(top['value'])}, {mine['method']} "
            f"{number(mine['value'])}{close}."
        )
    return sentences


def number(value: float | None) -> str:
    """Return a figure with three decimals, or in powers of ten where those would say nothing."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.2e}"


def _overlap(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return bool(a["low"] <= b["high"] and b["low"] <= a["high"])


def _title(name: str, column: Sequence[Mapping[str, Any]]) -> str:
    counts = sorted({f["n"] for f in column})
    count = str(counts[-1]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    return f"{name} {ARROWS[column[0]['direction']]} (n = {count})"


def _cell(figure: Mapping[str, Any] | None, top: bool) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    interval = f" [{number(figure['low'])}, {number(figure['high'])}]" if figure["low"] is not None else ""
    return f"{number(figure['value'])}{'*' if top else ' '}{interval}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    counts = summary["counts"]
    lines = [f"{counts['usable']} of {counts['items']} items, {counts['maps']} maps."]
    if counts["skipped"]:
        lines.append(f"{counts['skipped']} items show no class the model knows; they are left out.")
    if counts["broken"]:
        lines.append(f"{counts['broken']} items cannot be used; see errors.csv.")
    remarks = summary.get("remarks", {"items": 0})
    if remarks["items"]:
        lines.append(
            f"{remarks['items']} photos lost something or were guessed at when they were read: {remarks['first']}."
        )
    if counts["failed_maps"]:
        lines.append(f"{counts['failed_maps']} maps have an error; see errors.csv.")
    return lines
