"""The sentence at the top of a report: which method is ahead, and what to look at next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rsp_onnx.evaluate.runs.table import ARROWS, best, number, overall
from rsp_onnx.types import Record


def verdict(summary: Mapping[str, Any], pictures: bool) -> Record:
    """Return ``state`` (bad where items or maps have errors), ``sentence`` and ``next``."""
    counts = summary["counts"]
    troubles = [
        f"{counts[key]} {words}"
        for key, words in (("broken", "items cannot be used"), ("failed_maps", "maps have an error"))
        if counts.get(key)
    ]
    sentence = _ahead(summary)
    if troubles:
        return {"state": "bad", "sentence": f"{' and '.join(troubles)}; {sentence}", "next": "Read what is wrong with "
                "them under Errors, and run again: figures leave them out."}  # fmt: skip
    look = "Look at the images where the methods disagree, before you trust a figure." if pictures else ""
    return {"state": "", "sentence": sentence[:1].upper() + sentence[1:], "next": look}


def _ahead(summary: Mapping[str, Any]) -> str:
    """Say who is best how often; of one method its first figure."""
    figures = overall(summary)
    methods = list(dict.fromkeys(method for method, _ in figures))
    metrics = list(dict.fromkeys(metric for _, metric in figures))
    if not metrics:
        return "nothing was measured."
    if len(methods) == 1:
        first = figures[methods[0], metrics[0]]
        value = "no value" if first["value"] is None else number(first["value"])
        return f"{methods[0]}: {metrics[0]} {ARROWS[first['direction']]} {value}."
    tops = Counter(method for metric in metrics for method in best([f for (_, m), f in figures.items() if m == metric]))
    if not tops:
        return "no metric has a value."
    most = max(tops.values())
    ahead = [method for method in methods if tops[method] == most]
    shown = " and ".join(ahead) if len(ahead) < 3 else f"{len(ahead)} methods alike"
    of = "the one metric" if len(metrics) == 1 else f"{most} of {len(metrics)} metrics"
    return f"best by {of}: {shown}."
