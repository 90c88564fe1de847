"""Explain any exported ONNX classifier: which pixels speak for a class, and which for its rivals."""

from __future__ import annotations

from pathlib import Path

# In a source checkout rules/ and cli/ stand beside this folder; installed, they lie in it.
if not (Path(__file__).parent / "rules").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

from .activations import collect_activations
from .compilation import compile_explainer
from .errors import BadInput, BadModel, BadOutput, BadTarget, DeviceUnavailable, RspError, UnsupportedOp
from .explainer import Explainer
from .explanation import Explanation
from .images import PRESETS, Preprocess
from .registry import supported_ops
from .version import __version__

__all__ = [
    "PRESETS",
    "BadInput",
    "BadModel",
    "BadOutput",
    "BadTarget",
    "DeviceUnavailable",
    "Explainer",
    "Explanation",
    "Preprocess",
    "RspError",
    "UnsupportedOp",
    "__version__",
    "collect_activations",
    "compile_explainer",
    "supported_ops",
]
