"""The report for programs: the same files give the same bytes, times aside, which stand under ``costs``."""

from __future__ import annotations

from collections.abc import Sequence

from rsp_onnx.checks.catalogue.base import Finding, Result
from rsp_onnx.checks.catalogue.run_checks import Report
from rsp_onnx.types import Record
from rsp_onnx.version import __version__


def json_report(reports: Sequence[Report]) -> Record:
    """Return all reports, ready for JSON."""
    passed = all(report.exit_code == 0 for report in reports)
    return {"version": __version__, "passed": passed, "specs": [_spec(report) for report in reports]}


def _spec(report: Report) -> Record:
    spec, model = report.spec, report.subject.explainer.facts
    costs = [r for r in report.results if r.check.group == "costs"]
    return {
        "spec": spec.path.as_posix(), "model": spec.model.as_posix(), "model_sha256": model.sha256,
        "goldens": spec.goldens.as_posix(), "method": spec.method, "provider": report.subject.explainer.provider,
        "images": [image.name for image in spec.images], "passed": report.exit_code == 0,
        "checks": [_result(r) for r in report.results if r not in costs],
        "costs": {"seconds": round(report.seconds, 3), "checks": [_result(r) for r in costs]},
    }  # fmt: skip


def _result(result: Result) -> Record:
    return {
        "name": result.name, "group": result.check.group, "status": result.status.value, "value": result.value,
        "limit": result.limit, "direction": result.check.direction, "worst": result.worst, "message": result.message,
        "line": result.line, "failing": [_finding(f) for f in result.failing],
    }  # fmt: skip


def _finding(finding: Finding) -> Record:
    return {"image": finding.image, "value": finding.value, "note": finding.note, "line": finding.line}
