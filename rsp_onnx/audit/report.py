"""What an audit says: in words, and in its folder as audit.json, a contact sheet per cluster, report.html."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.files import make_folder, save_bytes, save_json, save_png
from rsp_onnx.render.page import embedded
from rsp_onnx.reports.page import report_page
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .maps import KeptMap, Stream
from .pictures import cluster_sheet

TEXT_LIKE = 0.5  # of ``looks_like_text``, from which a place is called text-like
_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def where(cluster: Mapping[str, Any]) -> str:
    """Return where a cluster's relevance sits, in words."""
    words = [cluster["sits"]]
    if cluster["text_like"] >= TEXT_LIKE:
        words.append("text-like")
    if cluster["inside"] is not None:
        words.append(f"{cluster['inside']:.0%} in the objects")
    return ", ".join(words)


def audit_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines a person reads: classes with their clusters, what is suspicious and why."""
    counts = summary["counts"]
    lines = [f"{counts['maps']} maps of {len(summary['classes'])} classes, {summary['suspicious']} suspicious clusters"]
    for one in summary["classes"]:
        lines.append(f"{one['label']}: {one['maps']} maps, {_many(len(one['clusters']), 'cluster')}")
        for cluster in one["clusters"]:
            mark = "✗" if cluster["suspicious"] else " "
            lines.append(f"  {mark} {cluster['number']}: {cluster['share']:4.0%}  {where(cluster)}")
            lines += [f"       {sentence}" for sentence in cluster["reasons"]]
    if summary["few"]:
        lines.append(f"Too few maps: {', '.join(summary['few'])}.")
    if counts["empty"]:
        lines.append(f"{_many(counts['empty'], 'map')} without positive relevance passed over.")
    if counts["broken"]:
        lines.append(f"{_many(counts['broken'], 'item')} cannot be used; the first: {summary['broken'][0]['error']}")
    return lines


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def write_audit(
    stream: Stream, maps: Sequence[KeptMap], summary: Record, folder: Path, pictures: int, report: bool
) -> None:
    """Write everything, and the sheets' names into the clusters' records."""
    make_folder(folder)
    shown: list[Record] = []
    for one in summary["classes"]:
        for cluster in one["clusters"]:
            sheet = _sheet(stream, maps, cluster, pictures)
            cluster["sheet"] = f"{_word(one['label'])}.{one['target']}.cluster-{cluster['number']}.png"
            save_png(folder / cluster["sheet"], sheet)
            if report:
                line = where(cluster)
                shown.append({"class": one, "cluster": cluster, "where": line, "data": embedded(sheet)})
    save_json(folder / "audit.json", summary)
    if report:
        shown.sort(key=lambda s: not s["cluster"]["suspicious"])  # stable: the suspicious ones first, by class
        for number, one in enumerate(shown):
            one["anchor"] = f"cluster-{number}"
        sentence, next_step = _verdict(summary, shown)
        page = report_page(
            _TEMPLATE, title=f"Audit of {Path(summary['model'] or 'model').name}", summary=summary, shown=shown,
            version=__version__, sentence=sentence, next=next_step,
        )  # fmt: skip
        save_bytes(folder / "report.html", page)


def _verdict(summary: Mapping[str, Any], shown: Sequence[Record]) -> tuple[str, str]:
    """Return the one sentence that matters, and what to do next."""
    if not summary["suspicious"]:
        return "No cluster is suspicious.", (
            "That is no proof: what all classes share, or what lies on the object, is not found this way."
        )
    first = next(one for one in shown if one["cluster"]["suspicious"])
    count = _many(summary["suspicious"], "suspicious cluster")
    return f"{count}; the first: {first['class']['label']}, where relevance sits {first['where']}.", (
        "Look at the photos of the marked clusters before you believe it: if it is the background, a text or a border "
        "that decides, the training data has a shortcut."
    )


def _sheet(stream: Stream, maps: Sequence[KeptMap], cluster: Record, count: int) -> Any:
    members = [maps[i] for i in cluster["members"]]
    mean = np.mean([m.grid for m in members], axis=0)
    shown = [(stream.again(m), f"{Path(m.key).name} · score {m.score:.2f}") for m in members[:count]]
    return cluster_sheet(mean, shown)


def _word(label: str) -> str:
    """Return a label as part of a file's name."""
    return re.sub(r"[^\w-]+", "-", label).strip("-")[:40] or "class"
