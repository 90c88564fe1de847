"""SARIF 2.1.0, for code-scanning tabs: what does not hold, at the line of SPEC that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from rsp_onnx.checks.catalogue.all_checks import ordered
from rsp_onnx.checks.catalogue.base import CHECKS, Finding, Result, Status
from rsp_onnx.checks.catalogue.run_checks import Report
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .text import figure_text

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Status.FAIL: "error", Status.WARN: "warning"}


def sarif_report(reports: Sequence[Report]) -> Record:
    """Return all reports as one SARIF log, ready for JSON."""
    rules = [one.name for one in ordered()]
    results = [
        _result(report, result, finding, rules.index(result.name))
        for report in reports
        for result in report.results
        if result.status in _LEVELS
        for finding in result.failing
    ]
    driver = {"name": "rsp-onnx", "version": __version__, "rules": [_rule(name) for name in rules]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str) -> Record:
    one = CHECKS[name]
    level = "warning" if one.warns else "error"
    return {
        "id": name,
        "shortDescription": {"text": one.says},
        "defaultConfiguration": {"level": level},
        "properties": {"group": one.group},
    }


def _result(report: Report, result: Result, finding: Finding, rule: int) -> Record:
    figure = figure_text(result) if finding is result.failing[0] else ""
    words = (finding.image, figure, finding.note or result.message)
    place = {
        "artifactLocation": {"uri": uri_of(report.spec.path)},
        "region": {"startLine": finding.line or result.line},
    }
    return {
        "ruleId": result.name,
        "ruleIndex": rule,
        "level": _LEVELS[result.status],
        "message": {"text": ": ".join(filter(None, words))},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"check/v1": f"{report.spec.path.name}:{result.name}:{finding.image}"},
    }


def uri_of(path: Path) -> str:
    """Return a file's address: relative to where we stand where it lies below, as code scanning wants it."""
    absolute, here = path.absolute(), Path.cwd()
    return quote(absolute.relative_to(here).as_posix()) if absolute.is_relative_to(here) else absolute.as_uri()
