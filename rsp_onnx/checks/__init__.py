"""Explanations as a gate: what was recorded of a model, and checks of what it is now."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import CHECKS, Check, Finding, NotApplicable, Result, Status, register
from .json_report import json_report
from .outputs import write_reports
from .recording import Recording, record
from .run import Report, check
from .spec import Spec
from .spec_read import read_spec
from .text import recording_text, text_report

if TYPE_CHECKING:
    from .audit_run import audit
    from .audit_text import audit_lines
    from .compare_run import compare_models
    from .compare_text import comparison_lines

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "NotApplicable",
    "Recording",
    "Report",
    "Result",
    "Spec",
    "Status",
    "audit",
    "audit_lines",
    "check",
    "compare_models",
    "comparison_lines",
    "json_report",
    "read_spec",
    "record",
    "recording_text",
    "register",
    "text_report",
    "write_reports",
]

_WHERE = {
    "audit": "audit_run",
    "audit_lines": "audit_text",
    "compare_models": "compare_run",
    "comparison_lines": "compare_text",
}


def __getattr__(name: str) -> Any:
    """Import what only comparisons and audits need when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
