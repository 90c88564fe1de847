"""A table for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rsp_onnx.checks.catalogue.base import Result, Status
from rsp_onnx.checks.catalogue.run_checks import Report

from .text import MARKS, figure_text, summary

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown_report(reports: Sequence[Report]) -> str:
    """Return all reports as Markdown: a heading and a table per SPEC, failing checks first."""
    return "\n".join(line for report in reports for line in _lines(report))


def _lines(report: Report) -> Iterable[str]:
    verdict = "failed" if report.exit_code else "passed"
    mark = MARKS[Status.FAIL if report.exit_code else Status.PASS]
    yield f"### {mark} {_escaped(report.spec.path.name)}: {_escaped(report.spec.model.name)} {verdict}"
    yield ""
    yield f"{_escaped(summary(report))}."
    yield ""
    yield "| | check | figure | worst image | |"
    yield "|:-:|:--|:--|:--|:--|"
    bad_first = [Status.FAIL, Status.WARN, Status.PASS, Status.SKIP]
    yield from (_row(r) for r in sorted(report.results, key=lambda r: bad_first.index(r.status)))
    yield ""


def _row(result: Result) -> str:
    told = "" if result.status is Status.PASS else result.message
    cells = (MARKS[result.status], result.name, figure_text(result), result.worst, told)
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
