"""Explanations as a gate: what was recorded of a model, and checks of what it is now."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rsp_onnx.checks.catalogue.base import CHECKS, Check, Finding, NotApplicable, Result, Status, register
from rsp_onnx.checks.catalogue.recording import Recording, read_spec, record
from rsp_onnx.checks.catalogue.run_checks import Report, check
from rsp_onnx.checks.reports.json import json_report
from rsp_onnx.checks.reports.outputs import write_reports
from rsp_onnx.checks.reports.text import recording_text, text_report
from rsp_onnx.checks.spec.concerned import concerned_specs
from rsp_onnx.checks.spec.spec import Spec

if TYPE_CHECKING:
    from rsp_onnx.audit.report import audit_lines
    from rsp_onnx.audit.run import audit
    from rsp_onnx.compare.report import comparison_lines
    from rsp_onnx.compare.run import compare_models

__all__ = [
    "CHECKS", "Check", "Finding", "NotApplicable", "Recording", "Report", "Result", "Spec", "Status", "audit",
    "audit_lines", "check", "compare_models", "comparison_lines", "concerned_specs", "json_report", "read_spec",
    "record", "recording_text", "register", "text_report", "write_reports",
]  # fmt: skip

_ROOM_OF = {
    "audit": "rsp_onnx.audit.run",
    "audit_lines": "rsp_onnx.audit.report",
    "compare_models": "rsp_onnx.compare.run",
    "comparison_lines": "rsp_onnx.compare.report",
}


def __getattr__(name: str) -> Any:
    """Import what only comparisons and audits need when it is first asked for."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOM_OF[name]), name)
