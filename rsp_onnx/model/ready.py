"""A model as ONNX Runtime takes it: bytes or a file, and what must be known to load it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .guard import LEVELS


@dataclass(frozen=True)
class Ready:
    """A model to be loaded; nothing here knows its graph.

    Attributes
    ----------
    model : bytes or Path
        Serialised, or the file, whose external data lies beside it.
    nodes : int
        How many its graph has.
    weights : tuple of (str, onnxruntime.OrtValue)
        Handed over in memory, for the initializers that the bytes leave out.
    optimised : bool
        ONNX Runtime saved it when it had optimised it here, so that it is loaded as it is.
    level : str
        How far ONNX Runtime may optimise it, see ``guard``.
    """

    model: bytes | Path
    nodes: int = 0
    weights: tuple[tuple[str, Any], ...] = ()
    optimised: bool = False
    level: str = LEVELS[0]
