"""What an audit leaves in its folder: audit.json, a contact sheet per class and cluster, report.html."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.files import make_folder, save_bytes, save_json, save_png
from rsp_onnx.render.page import embedded, render_page
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .maps import Seen, Stream
from .pictures import cluster_sheet
from .text import where

_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_audit(stream: Stream, maps: Sequence[Seen], found: Record, folder: Path, pictures: int, report: bool) -> None:
    """Write everything, and the sheets' names into the clusters' records."""
    make_folder(folder)
    shown: list[Record] = []
    for one in found["classes"]:
        for cluster in one["clusters"]:
            sheet = _sheet(stream, maps, cluster, pictures)
            cluster["sheet"] = f"{_word(one['label'])}.{one['target']}.cluster-{cluster['number']}.png"
            save_png(folder / cluster["sheet"], sheet)
            if report:
                line = where(cluster)
                shown.append({"class": one, "cluster": cluster, "where": line, "data": embedded(sheet)})
    save_json(folder / "audit.json", found)
    if report:
        shown.sort(key=lambda s: not s["cluster"]["suspicious"])  # stable: the suspicious ones first, by class
        title = f"Audit of {Path(found['model'] or 'model').name}"
        page = render_page(_TEMPLATE, title=title, found=found, shown=shown, version=__version__)
        save_bytes(folder / "report.html", page)


def _sheet(stream: Stream, maps: Sequence[Seen], cluster: Record, count: int) -> Any:
    members = [maps[i] for i in cluster["members"]]
    mean = np.mean([m.grid for m in members], axis=0)
    shown = [(stream.again(m), f"{Path(m.key).name} · score {m.score:.2f}") for m in members[:count]]
    return cluster_sheet(mean, shown)


def _word(label: str) -> str:
    """Return a label as part of a file's name."""
    return re.sub(r"[^\w-]+", "-", label).strip("-")[:40] or "class"
