"""report.html: one file that needs nothing beside it; what fails first, its maps on one scale with their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from rsp_onnx.checks.catalogue.base import Result, Status
from rsp_onnx.checks.catalogue.run_checks import Report
from rsp_onnx.checks.subject.subject import Shot
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.explain.pictures.shown import subject_of
from rsp_onnx.render.drawing import embedded_picture
from rsp_onnx.render.kinds import Subject
from rsp_onnx.reports.difference import MapComparison, comparison_of
from rsp_onnx.reports.page import report_page
from rsp_onnx.types import Array, Record
from rsp_onnx.version import __version__

from .text import MARKS, figure_text, summary

_TEMPLATE = Path(__file__).with_name("checks.html.jinja")
_ORDER = (Status.FAIL, Status.WARN, Status.PASS, Status.SKIP)
_COLOURS = {Status.FAIL: "bad", Status.WARN: "warn", Status.PASS: "good", Status.SKIP: "soft"}


def html_report(reports: Sequence[Report]) -> bytes:
    """Return all reports as one page, UTF-8; those that fail stand first."""
    ordered = sorted(reports, key=lambda report: report.exit_code == 0)
    failed = [report for report in ordered if report.exit_code != 0]
    return report_page(
        _TEMPLATE, title="rsp-onnx check", version=__version__, passed=not failed, sentence=_sentence(ordered, failed),
        next=_next(failed), specs=[_spec(number, report) for number, report in enumerate(ordered)],
    )  # fmt: skip


def _sentence(reports: Sequence[Report], failed: Sequence[Report]) -> str:
    if not failed:
        count = sum(r.status is Status.PASS for report in reports for r in report.results)
        return f"All {count} checks hold." if count else "There was nothing that failed."
    names = [r.name for report in failed for r in report.results if r.status is Status.FAIL]
    shown = ", ".join(dict.fromkeys(names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    model = failed[0].spec.model if len(failed) == 1 else f"{len(failed)} models"
    verb = "fails" if len(failed) == 1 else "fail"
    return f"{model} {verb}: {shown}." if names else f"{model} {verb}."


def _next(failed: Sequence[Report]) -> str:
    if not failed:
        return ""
    path = failed[0].spec.path
    return (
        f"Look at the images below: if the change is meant, record it with rsp-onnx check {path} --update; "
        "if not, the model, its preprocessing or the runtime changed."
    )


def _spec(number: int, report: Report) -> Record:
    images = list(_images(number, report))
    anchors = {image["name"]: image["anchor"] for image in images}
    results = sorted(report.results, key=lambda r: _ORDER.index(r.status))
    return {
        "path": str(report.spec.path), "model": str(report.spec.model), "goldens": str(report.spec.goldens),
        "passed": report.exit_code == 0, "summary": summary(report), "images": images,
        "rows": [_row(r, anchors) for r in results],
    }  # fmt: skip


def _row(result: Result, anchors: dict[str, str]) -> Record:
    status = result.status
    return {
        "mark": MARKS[status], "status": status.value, "order": _ORDER.index(status),
        "colour": _COLOURS[status], "group": result.check.group, "name": result.name, "figure": figure_text(result),
        "worst": result.worst, "anchor": anchors.get(result.worst.removesuffix(" (hostile)")),
        "message": result.message if status is not Status.PASS else result.check.says,
    }  # fmt: skip


def _images(number: int, report: Report) -> list[Record]:
    """Return the images that some check names, those that more checks name first, each with what fails."""
    failing: dict[str, list[str]] = {}
    for result in report.results:
        if result.status in (Status.FAIL, Status.WARN):
            for finding in result.failing:
                failing.setdefault(finding.image.removesuffix(" (hostile)"), []).append(result.name)
    shots = {shot.image.name: shot for shot in report.subject.shots}
    worst_first = sorted(failing.items(), key=lambda pair: -len(set(pair[1])))
    return [
        {
            "name": name, "anchor": f"image-{number}-{place}", "checks": ", ".join(dict.fromkeys(checks)),
            "label": shots[name].explanation.label, "pictures": _pictures(shots[name]),
        }
        for place, (name, checks) in enumerate(worst_first)
        if name in shots
    ]  # fmt: skip


def _pictures(shot: Shot) -> MapComparison:
    assert shot.golden is not None
    before, after, explanation = shot.golden.map.map, shot.packed.map, shot.explanation
    pictures = comparison_of(before, after, _seen(explanation))
    subject = subject_of(explanation).channels_first()
    if explanation.photo is not None or {before.size, after.size} != {subject.heatmap.size}:
        return pictures  # strips, where a long map was recorded coarse
    maps = [one.reshape(subject.heatmap.shape) for one in (before, after)]
    limit = max(float(np.abs(one).max(initial=0.0)) for one in maps) or 1.0
    drawn = [embedded_picture(_with_map(subject, one), limit=limit) for one in maps]
    return replace(pictures, before=drawn[0], after=drawn[1])


def _with_map(subject: Subject, heatmap: Array) -> Subject:
    """Return an input with another map, of which the sum over channels alone is known; the channels are their mean."""
    whole, tensor = heatmap.astype(np.float32), subject.tensor
    one_channel = subject.relevance.ndim == heatmap.ndim
    if tensor is not None and tensor.ndim > heatmap.ndim:
        tensor = tensor.mean(axis=0, keepdims=True)
    relevance = whole if one_channel else whole[None]
    return replace(subject, relevance=relevance, heatmap=whole, heatmap_original=whole, tensor=tensor)


def _seen(explanation: Explanation) -> Image.Image | None:
    """Return the part of the photo that the map lies on, the margins of a letterbox with it."""
    if explanation.photo is None or explanation.geometry is None:
        return explanation.photo
    left, top, right, bottom = (round(edge) for edge in explanation.geometry.box)
    return explanation.photo.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
