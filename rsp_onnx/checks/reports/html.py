"""report.html: one file that needs nothing beside it, the maps of failing images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsp_onnx.checks.catalogue.base import Status
from rsp_onnx.checks.catalogue.run_checks import Report
from rsp_onnx.checks.subject.subject import Shot
from rsp_onnx.render.page import embedded, render_page
from rsp_onnx.render.side_by_side import side_by_side
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .text import MARKS, figure_text, summary

_TEMPLATE = Path(__file__).with_name("checks.html.jinja")


def html_report(reports: Sequence[Report]) -> bytes:
    """Return all reports as one page, UTF-8."""
    return render_page(_TEMPLATE, version=__version__, specs=[_spec(report) for report in reports])


def _spec(report: Report) -> Record:
    rows = [
        {
            "mark": MARKS[r.status], "status": r.status.name.lower(), "group": r.check.group, "name": r.name,
            "figure": figure_text(r), "worst": r.worst,
            "message": r.message if r.status is not Status.PASS else r.check.says,
        }
        for r in report.results
    ]  # fmt: skip
    return {
        "path": str(report.spec.path), "model": str(report.spec.model), "goldens": str(report.spec.goldens),
        "passed": report.exit_code == 0, "summary": summary(report), "rows": rows, "images": list(_images(report)),
    }  # fmt: skip


def _images(report: Report) -> list[Record]:
    """Return the images that some check names, each with what fails."""
    failing: dict[str, list[str]] = {}
    for result in report.results:
        if result.status in (Status.FAIL, Status.WARN):
            for finding in result.failing:
                failing.setdefault(finding.image.removesuffix(" (hostile)"), []).append(result.name)
    shots = {shot.image.name: shot for shot in report.subject.shots}
    return [
        {"name": name, "checks": ", ".join(dict.fromkeys(checks)), "picture": _picture(shots[name])}
        for name, checks in failing.items()
        if name in shots
    ]


def _picture(shot: Shot) -> str:
    assert shot.golden is not None
    return embedded(side_by_side(shot.golden.map.map, shot.packed.map, shot.explanation.photo), "png")
