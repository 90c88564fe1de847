"""Explain any exported ONNX classifier: which pixels speak for a class, and which for its rivals."""

from __future__ import annotations

from pathlib import Path

# In a source checkout rules/ and cli/ stand beside this folder; installed, they lie in it.
if not (Path(__file__).parent / "rules").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

from .compilation import compile_explainer
from .version import __version__

__all__ = ["__version__", "compile_explainer"]
