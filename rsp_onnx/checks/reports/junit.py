"""JUnit XML, as CI servers read it: a suite per SPEC, a case per check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from rsp_onnx.checks.catalogue.base import Result, Status
from rsp_onnx.checks.catalogue.run_checks import Report

from .text import figure_text

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters XML 1.0 cannot hold


def junit_report(reports: Sequence[Report]) -> bytes:
    """Return all reports as one JUnit file, UTF-8."""
    counts = {key: count for key, count in _counts(reports).items() if key != "skipped"}  # no schema has it here
    suites = ElementTree.Element("testsuites", {"name": "rsp-onnx check", **counts})
    for report in reports:
        name = _clean(report.spec.path.as_posix())
        suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **_counts([report])})
        for result in report.results:
            _case(suite, report, result)
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, "utf-8", xml_declaration=True)) + b"\n"


def _counts(reports: Sequence[Report]) -> dict[str, str]:
    results = [result for report in reports for result in report.results]
    return {
        "tests": str(len(results)),
        "failures": str(sum(r.status is Status.FAIL for r in results)),
        "errors": "0",
        "skipped": str(sum(r.status is Status.SKIP for r in results)),
        "time": f"{sum(r.seconds for r in reports):.3f}",
    }


def _case(suite: ElementTree.Element, report: Report, result: Result) -> None:
    name = _clean(f"{report.spec.path.stem}.{result.check.group}")
    case = ElementTree.SubElement(suite, "testcase", classname=name, name=result.name, time="0.000")
    message = _clean(" ".join(filter(None, (figure_text(result), result.message))))
    if result.status is Status.FAIL:
        failure = ElementTree.SubElement(case, "failure", message=message, type=result.name)
        failure.text = _clean("\n".join(failing_lines(report, result)))
    elif result.status is Status.SKIP:
        ElementTree.SubElement(case, "skipped", message=message)
    elif result.status is Status.WARN:
        ElementTree.SubElement(case, "system-out").text = message


def failing_lines(report: Report, result: Result) -> list[str]:
    """Return a line per failing figure: where SPEC has it, the image, the figure, what is wrong."""
    return [
        " ".join(filter(None, (
            f"{report.spec.path.as_posix()}:{f.line or result.line}:", f.image,
            "" if f.value is None else f"{f.value:g}", f.note,
        )))
        for f in result.failing
    ]  # fmt: skip


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
