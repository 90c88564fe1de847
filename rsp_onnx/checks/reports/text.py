"""What a person reads on the terminal: one line per check, the worst image named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rsp_onnx.checks.catalogue.base import Direction, Result, Status
from rsp_onnx.checks.catalogue.recording import Recording
from rsp_onnx.checks.catalogue.run_checks import Report

MARKS: Mapping[Status, str] = {Status.PASS: "✓", Status.FAIL: "✗", Status.WARN: "!", Status.SKIP: "–"}
_ASCII: Mapping[Status, str] = {Status.PASS: "+", Status.FAIL: "x", Status.WARN: "!", Status.SKIP: "-"}
_SIGNS: Mapping[Direction, tuple[str, str]] = {"higher": ("≥", "<"), "lower": ("≤", ">")}
_WIDTH = 14


def text_report(report: Report, encoding: str = "utf-8") -> str:
    """Return the checks by group; other signs where the terminal's encoding lacks ours."""
    lines = [title(report)]
    group = ""
    for result in report.results:
        if result.check.group != group:
            group = result.check.group
            lines.append(group)
        lines.append(f"  {MARKS[result.status]} {result.name:<{_WIDTH}}{_line(result)}".rstrip())
    text = "\n".join([*lines, f"{summary(report)}, in {report.seconds:.1f} s"])
    return _plain(text, encoding)


def title(report: Report) -> str:
    """Return what was checked against what."""
    spec, count = report.spec, len(report.spec.images)
    images = f"{count} image{'' if count == 1 else 's'}"
    return f"{spec.path}: {spec.model} against {spec.goldens.name}, {images}"


def summary(report: Report) -> str:
    """Return how many checks ended how, the failed ones by name."""
    counts = Counter(result.status for result in report.results)
    words = [f"{counts[Status.PASS]} hold"]
    for status, word in ((Status.FAIL, "failed"), (Status.WARN, "warn")):
        if counts[status]:
            words.append(f"{counts[status]} {word} ({', '.join(r.name for r in report.results if r.status is status)})")
    if counts[Status.SKIP]:
        words.append(f"{counts[Status.SKIP]} not applicable")
    return ", ".join(words)


def figure_text(result: Result) -> str:
    """Return the worst figure and the threshold, such as ``0.976 ≥ 0.9``; empty where there is none."""
    if result.value is None or result.limit is None:
        return ""
    good, bad = _SIGNS[result.check.direction]
    sign = bad if result.status in (Status.FAIL, Status.WARN) else good
    return f"{result.value:.3g} {sign} {result.limit:.3g}"


def _line(result: Result) -> str:
    if result.status is Status.SKIP:
        return result.message
    figure = f"{figure_text(result):<16}"
    if result.status is Status.PASS:
        return f"{figure}{result.worst}" if result.value is not None else ""
    where = f"{result.worst}: " if result.worst else ""
    return f"{figure}{where}{result.message}"


def recording_text(recording: Recording, spec: str) -> str:
    """Return what was recorded, or what a new recording changed."""
    if not recording.is_written:
        return f"{spec}: nothing changed; {recording.path} stays as it is."
    count = len(recording.goldens.images)
    what = f"{spec}: {count} image{'' if count == 1 else 's'} recorded in {recording.path}"
    if recording.is_new:
        return "\n".join([f"{what}:", *_recorded(recording)])
    return "\n".join([f"{what}; what changed:", *(f"  {change}" for change in recording.changes)])


def _recorded(recording: Recording) -> Iterable[str]:
    for golden in recording.goldens.images:
        facts = golden.facts
        inside = f", {facts['inside']:.0%} of the positive relevance inside" if "inside" in facts else ""
        other = "" if facts["target"] == facts["predicted"] else f" (predicted: {facts['predicted_label']})"
        yield f"  {golden.name}: {facts['target_label']}{other}{inside}"


def _plain(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        for status, mark in MARKS.items():
            text = text.replace(f"  {mark} ", f"  {_ASCII[status]} ")
        for sign, ascii_sign in (("≥", ">="), ("≤", "<="), ("×", "x")):
            text = text.replace(sign, ascii_sign)
        text = text.encode("ascii", "replace").decode()
    return text
