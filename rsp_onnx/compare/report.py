"""What a comparison says: its lines on the terminal; compare.json, report.html, the pictures of what moved most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.checks.subject.similarity import SIMILARITIES
from rsp_onnx.errors import BadInput
from rsp_onnx.files import make_folder, save_bytes, save_json, save_png
from rsp_onnx.render.page import embedded, render_page
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .models import Comparison, common
from .pictures import row_of_panels

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_LAYERS = 3  # tensors named, those whose share changed most


def write_comparison(comparison: Comparison, results: Record, folder: Path, count: int, report: bool) -> None:
    """Write everything, and the pictures' names into the records of ``results``."""
    make_folder(folder)
    shown = []
    for number, record in enumerate(most_moved(results["images"], count), 1):
        picture = _picture(comparison, record, results["models"])
        if picture is None:
            continue
        record["picture"] = f"moved.{number:02d}.{Path(record['image']).stem}.{record['target']}.png"
        save_png(folder / record["picture"], picture)
        shown.append({"record": record, "data": embedded(picture)})
    save_json(folder / "compare.json", results)
    if report:
        rows = results["layers"]["rows"]
        widest = max((r[key] for r in rows for key in ("share_a", "share_b")), default=1.0) or 1.0
        title = f"{results['models'][0]['name']} → {results['models'][1]['name']}"
        page = render_page(
            _TEMPLATE, title=title, results=results, pictures=shown, measures=list(SIMILARITIES),
            widest=widest, version=__version__,
        )  # fmt: skip
        save_bytes(folder / "report.html", page)


def most_moved(records: Sequence[Record], count: int) -> list[Record]:
    """Return the records of the least similar maps, the least similar first."""
    return sorted(records, key=lambda r: (r["spearman"] + r["pearson"], r["image"], r["target"]))[: max(count, 0)]


def _picture(comparison: Comparison, record: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Any:
    one, other = comparison.maps(record)
    names = [m["name"] for m in models]
    if names[0] == names[1]:
        names = ["first", "second"]
    try:
        if one.photo is not None:
            return row_of_panels(one.photo, (one.heatmap_original, other.heatmap_original), (names[0], names[1]))
        maps = common(one, other)
    except BadInput:
        return None
    strips = np.atleast_2d(maps[0]), np.atleast_2d(maps[1])  # a signal's or table's map is a row
    return row_of_panels(None, strips, (names[0], names[1])) if strips[0].ndim == 2 else None


def comparison_lines(results: Mapping[str, Any]) -> list[str]:
    """Return the lines a person reads: flips, similarities, what moved most, layers, limits."""
    summary = results["summary"]
    first, second = (model["name"] for model in results["models"])
    lines = [f"{first} → {second}: {summary['images']} images, {summary['flips']} predictions flip"]
    lines += [
        f"  {name:<9} median {summary[name]['median']:6.3f}   worst {summary[name]['worst']:6.3f}"
        f"  {Path(summary[name]['worst_image']).name}"
        for name in SIMILARITIES
    ]
    for record in results["images"]:
        if record["flip"]:
            lines.append(f"  flips: {Path(record['image']).name} ({_flipped(record)})")
    lines.append(results["layers"]["said"])
    rows = sorted(results["layers"]["rows"], key=lambda r: -abs(r["share_b"] - r["share_a"]))[:_LAYERS]
    lines += [f"  {r['a']}: {r['share_a']:.1%} → {r['share_b']:.1%} of the layers' relevance" for r in rows]
    lines += [f"✗ {sentence}" for sentence in results["failures"]]
    if results["limits"] and not results["failures"]:
        lines.append("✓ All limits hold.")
    return lines


def _flipped(record: Mapping[str, Any]) -> str:
    single = record["changed"] == [record["predicted_a"], record["predicted_b"]]  # else: classes that came or went
    changed = (" → " if single else "; ").join(record["changed_labels"])
    return f"{changed}; score of {record['label']} {record['score_a']:.3f} → {record['score_b']:.3f}"
