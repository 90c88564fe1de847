"""Explain any exported ONNX classifier: which pixels speak for a class, and which for its rivals."""

from __future__ import annotations

from pathlib import Path

# In a source checkout rules/ and cli/ stand beside this folder; installed, they lie in it.
if not (Path(__file__).parent / "rules").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

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
from .version import __version__

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
