"""The paper's evaluation: datasets, metrics, the runner and its report.

What it needs beyond the library itself comes with ``pip install "rsp-onnx[eval]"`` and is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rsp_onnx.extras import missing

if TYPE_CHECKING:
    from rsp_onnx.evaluate.datasets.formats import dataset_formats, open_dataset
    from rsp_onnx.evaluate.datasets.mapping import write_mapping
    from rsp_onnx.evaluate.metrics.catalogue import find_metric, list_metrics
    from rsp_onnx.evaluate.report.report import write_report
    from rsp_onnx.evaluate.run_and_report import evaluate
    from rsp_onnx.evaluate.runs.table import summary_table

__all__ = [
    "dataset_formats", "evaluate", "find_metric", "list_metrics", "open_dataset", "summary_table", "write_mapping",
    "write_report",
]  # fmt: skip

_ROOM_OF = {
    "dataset_formats": "datasets.formats", "evaluate": "run_and_report", "find_metric": "metrics.catalogue",
    "list_metrics": "metrics.catalogue", "open_dataset": "datasets.formats", "summary_table": "runs.table",
    "write_mapping": "datasets.mapping", "write_report": "report.report",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for; BadInput where a package it needs is not installed."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("rsp_onnx"):
            raise
        raise missing(str(error.name), "Evaluation") from error
