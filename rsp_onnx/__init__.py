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
    from .activations import collect_activations
    from .compilation import compile_explainer
    from .composite import methods
    from .context import Context, Options
    from .errors import BadInput, BadModel, BadOutput, BadTarget, DeviceUnavailable, RspError, UnsupportedOp
    from .explainer import Explainer
    from .explanation import Explanation
    from .images import PRESETS, Preprocess
    from .inspection import inspect_model, summary_numbers
    from .plugins import load_rules, register_custom_ops
    from .registry import moves, no_flow, rule, supported_ops, vjp
    from .runs import explain_files
    from .saving import save_activations, save_explainer

_HOMES = {
    "BadInput": "errors",
    "BadModel": "errors",
    "BadOutput": "errors",
    "BadTarget": "errors",
    "Context": "context",
    "DeviceUnavailable": "errors",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "Options": "context",
    "PRESETS": "images",
    "Preprocess": "images",
    "RspError": "errors",
    "UnsupportedOp": "errors",
    "collect_activations": "activations",
    "compile_explainer": "compilation",
    "explain_files": "runs",
    "inspect_model": "inspection",
    "load_rules": "plugins",
    "methods": "composite",
    "moves": "registry",
    "no_flow": "registry",
    "register_custom_ops": "plugins",
    "rule": "registry",
    "save_activations": "saving",
    "save_explainer": "saving",
    "summary_numbers": "inspection",
    "supported_ops": "registry",
    "vjp": "registry",
}

__all__ = [
    "PRESETS",
    "BadInput",
    "BadModel",
    "BadOutput",
    "BadTarget",
    "Context",
    "DeviceUnavailable",
    "Explainer",
    "Explanation",
    "Options",
    "Preprocess",
    "RspError",
    "UnsupportedOp",
    "__version__",
    "collect_activations",
    "compile_explainer",
    "explain_files",
    "inspect_model",
    "load_rules",
    "methods",
    "moves",
    "no_flow",
    "register_custom_ops",
    "rule",
    "save_activations",
    "save_explainer",
    "summary_numbers",
    "supported_ops",
    "vjp",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: pytest loads the plugin of this package in runs without a model."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
