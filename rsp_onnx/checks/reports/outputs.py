"""Writing reports where they were asked for, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rsp_onnx.checks.catalogue.run_checks import Report
from rsp_onnx.files import save_bytes, save_json

from .html import html_report
from .junit import junit_report
from .markdown import markdown_report
from .sarif import sarif_report

Writer = Callable[[str | Path, Sequence[Report]], None]
WRITERS: Mapping[str, Writer] = {
    "junit": lambda path, reports: save_bytes(path, junit_report(reports)),
    "markdown": lambda path, reports: save_bytes(path, markdown_report(reports).encode()),
    "sarif": lambda path, reports: save_json(path, sarif_report(reports)),
    "report": lambda path, reports: save_bytes(path, html_report(reports)),
}


def write_reports(reports: Sequence[Report], wanted: Mapping[str, str | Path | None]) -> None:
    """Write reports as files.

    Parameters
    ----------
    wanted : mapping
        ``junit``, ``markdown``, ``sarif``, ``report`` (HTML): each a file's name, or None.

    Raises
    ------
    BadOutput
        A file cannot be written.
    """
    for kind, path in wanted.items():
        if path is not None:
            WRITERS[kind](path, reports)
