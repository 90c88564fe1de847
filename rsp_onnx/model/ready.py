"""A model as ONNX Runtime takes it: bytes or a file, and what must be known to load it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

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
    weights : tuple of (str, ndarray)
        Handed over in memory, for the initializers that the bytes leave out: the n-th lies in ``place_of(n)``.
    optimised : bool
        ONNX Runtime saved it when it had optimised it here, so that it is loaded as it is.
    level : str
        How far ONNX Runtime may optimise it, see ``guard``.
    """

    model: bytes | Path
    nodes: int = 0
    weights: tuple[tuple[str, np.ndarray], ...] = ()
    optimised: bool = False
    level: str = LEVELS[0]


def place_of(number: int) -> str:
    """Return the external file that holds a weight which is handed over; there is none, and none is looked for."""
    return f"in-memory-{number}"


def hand_over(options: ort.SessionOptions, weights: Sequence[tuple[str, np.ndarray]]) -> None:
    """Give a session weights from memory: they are read where they are, and copied by an older ONNX Runtime."""
    if not _reads_in_place(ort.__version__):
        values = [ort.OrtValue.ortvalue_from_numpy(array) for _, array in weights]
        options.add_external_initializers([name for name, _ in weights], values)
        return
    options.add_session_config_entry("session.use_external_initializer_file_buffers_directly", "1")
    places, parts = [place_of(n) for n in range(len(weights))], [a.reshape(-1).view(np.uint8) for _, a in weights]
    options.add_external_initializers_from_files_in_memory(places, parts, [part.size for part in parts])


def _reads_in_place(version: str) -> bool:
    """Tell of an ONNX Runtime that knows ``session.use_external_initializer_file_buffers_directly``."""
    return sys.byteorder == "little" and tuple(int(word) for word in version.split(".")[:2]) >= (1, 31)
