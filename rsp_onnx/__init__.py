"""Explain any exported ONNX classifier: which pixels speak for a class, and which for its rivals."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In a source checkout rules/ and cli/ stand beside this folder; installed, they lie in it.
if not (Path(__file__).parent / "rules").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

from .version import __version__

if TYPE_CHECKING:
    from rsp_onnx.attribution.catalogue import methods
    from rsp_onnx.cache.report import cache_report, clear_cache
    from rsp_onnx.doctor.diagnose import diagnose
    from rsp_onnx.explain.compile import compile_explainer
    from rsp_onnx.explain.explain_files import explain_files
    from rsp_onnx.explain.explainer import Explainer
    from rsp_onnx.explain.explanation import Explanation
    from rsp_onnx.explain.inspection import inspect_model, summary_numbers
    from rsp_onnx.explain.pictures.explanations import Explanations
    from rsp_onnx.explain.saving import save_activations, save_explainer
    from rsp_onnx.explain.supported_ops import supported_ops
    from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
    from rsp_onnx.graph.rule_modules import load_rules
    from rsp_onnx.inputs.presets import PRESETS, Preprocess
    from rsp_onnx.model.activations import collect_activations
    from rsp_onnx.model.custom_ops import register_custom_ops
    from rsp_onnx.rulekit.context import Context, Options
    from rsp_onnx.rulekit.registry import moves, no_flow, rule, vjp
    from rsp_onnx.web.page.write import write_page
    from rsp_onnx.web.server.serve import serve

    from .errors import (
        BadInput,
        BadModel,
        BadOutput,
        BadTarget,
        CacheWarning,
        DeviceUnavailable,
        RspError,
        UnsupportedOp,
    )

_ROOMS = {
    "attribution.catalogue": ("methods",), "cache.report": ("cache_report", "clear_cache"),
    "doctor.diagnose": ("diagnose",),
    "errors": (
        "BadInput", "BadModel", "BadOutput", "BadTarget", "CacheWarning", "DeviceUnavailable", "RspError",
        "UnsupportedOp",
    ),
    "explain.compile": ("compile_explainer",), "explain.explain_files": ("explain_files",),
    "explain.explainer": ("Explainer",), "explain.explanation": ("Explanation",),
    "explain.inspection": ("inspect_model", "summary_numbers"),
    "explain.pictures.explanations": ("Explanations",),
    "explain.saving": ("save_activations", "save_explainer"), "explain.supported_ops": ("supported_ops",),
    "graph.op_facts": ("Data", "Layout", "Role", "Sign", "op_facts"), "graph.rule_modules": ("load_rules",),
    "inputs.presets": ("PRESETS", "Preprocess"), "model.activations": ("collect_activations",),
    "model.custom_ops": ("register_custom_ops",), "rulekit.context": ("Context", "Options"),
    "rulekit.registry": ("moves", "no_flow", "rule", "vjp"), "web.page.write": ("write_page",),
    "web.server.serve": ("serve",),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "PRESETS", "BadInput", "BadModel", "BadOutput", "BadTarget", "CacheWarning", "Context", "Data", "DeviceUnavailable",
    "Explainer", "Explanation", "Explanations", "Layout", "Options", "Preprocess", "Role", "RspError", "Sign",
    "UnsupportedOp", "__version__", "cache_report", "clear_cache", "collect_activations", "compile_explainer",
    "diagnose", "explain_files", "inspect_model", "load_rules", "methods", "moves", "no_flow", "op_facts",
    "register_custom_ops", "rule", "save_activations", "save_explainer", "serve", "summary_numbers", "supported_ops",
    "vjp", "write_page",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: pytest loads the plugin of this package in runs without a model."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
