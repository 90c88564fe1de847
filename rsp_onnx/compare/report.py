"""What a comparison says: its lines on the terminal; compare.json, report.html, the pictures of what moved most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rsp_onnx.checks.subject.similarity import SIMILARITIES
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.pictures.shown import subject_of
from rsp_onnx.files import make_folder, save_bytes, save_json, save_png
from rsp_onnx.render.drawing import embedded_picture
from rsp_onnx.reports.difference import MapComparison, comparison_of
from rsp_onnx.reports.page import report_page
from rsp_onnx.types import Array, Record
from rsp_onnx.version import __version__

from .models import Comparison, common
from .pictures import row_of_panels

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_LAYERS = 3  # tensors named, those whose share changed most


def write_comparison(comparison: Comparison, results: Record, folder: Path, count: int, report: bool) -> None:
    """Write everything, and the pictures' names into the records of ``results``."""
    make_folder(folder)
    names = _names(results["models"])
    shown: list[Record] = []
    for number, record in enumerate(most_moved(results["images"], count), 1):
        maps = _maps(comparison, record)
        if maps is None:
            continue
        photo, one, other = maps
        record["picture"] = f"moved.{number:02d}.{Path(record['image']).stem}.{record['target']}.png"
        save_png(folder / record["picture"], row_of_panels(photo, (one, other), names))
        if report:
            pictures = comparison_of(one, other, photo, own_scales=True)
            if photo is None:
                pictures = _as_explained(pictures, comparison, record)
            shown.append({"record": record, "pictures": pictures, "anchor": f"moved-{number}"})
    save_json(folder / "compare.json", results)
    if report:
        save_bytes(folder / "report.html", _page(results, shown, names))


def _page(results: Record, shown: Sequence[Record], names: tuple[str, str]) -> bytes:
    rows = results["layers"]["rows"]
    widest = max((r[key] for r in rows for key in ("share_a", "share_b")), default=1.0) or 1.0
    state, sentence, next_step = _verdict(results, names)
    anchors: dict[str, str] = {}
    for one in shown:
        anchors.setdefault(one["record"]["image"], one["anchor"])
    return report_page(
        _TEMPLATE, title=f"{results['models'][0]['name']} → {results['models'][1]['name']}", results=results,
        pictures=shown, measures=list(SIMILARITIES), number_heads=[(name, "number") for name in SIMILARITIES],
        widest=widest, version=__version__, names=names, anchors=anchors, state=state, sentence=sentence,
        next=next_step,
    )  # fmt: skip


def _verdict(results: Record, names: tuple[str, str]) -> tuple[str, str, str]:
    """Return the state, the one sentence that matters, and what to do next."""
    summary, failures = results["summary"], results["failures"]
    flips = f"{summary['flips']} of {summary['images']} predictions flip"
    alike = f"the maps' median Spearman correlation is {summary['spearman']['median']:.3f}"
    look = f"Look below at where {names[1]} explains otherwise than {names[0]}"
    if failures:
        count = "A limit does not hold" if len(failures) == 1 else f"{len(failures)} limits do not hold"
        return "bad", f"{count}: {flips}, {alike}.", f"{look}; keep {names[0]} until you know why."
    if results["limits"]:
        return "good", f"All limits hold: {flips}, {alike}.", ""
    return "", f"{flips}; {alike}.".capitalize(), f"{look}. No limit was set: --fail-below and --max-flips set one."


def most_moved(records: Sequence[Record], count: int) -> list[Record]:
    """Return the records of the least similar maps, the least similar first."""
    return sorted(records, key=lambda r: (r["spearman"] + r["pearson"], r["image"], r["target"]))[: max(count, 0)]


def _names(models: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    first, second = (str(model["name"]) for model in models)
    return (first, second) if first != second else ("first", "second")


def _maps(comparison: Comparison, record: Mapping[str, Any]) -> tuple[Image.Image | None, Array, Array] | None:
    """Return photo and both maps [H, W] of one shape; None where they cannot be drawn."""
    one, other = comparison.maps(record)
    if one.photo is not None:
        return one.photo, one.heatmap_original, other.heatmap_original
    try:
        maps = common(one, other)
    except BadInput:
        return None
    first, second = np.atleast_2d(maps[0]), np.atleast_2d(maps[1])  # a signal's or table's map is a row
    return (None, first, second) if first.ndim == 2 else None


def _as_explained(pictures: MapComparison, comparison: Comparison, record: Mapping[str, Any]) -> MapComparison:
    """Draw both maps as ``explain`` draws them: a signal's lines, words, bars; the difference stays a strip."""
    drawn = [embedded_picture(subject_of(one)) for one in comparison.maps(record)]
    return replace(pictures, before=drawn[0], after=drawn[1])


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
