"""The model's own scores: from its outputs as they are to one number per sample and class."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rsp_onnx.errors import BadModel
from rsp_onnx.inputs.batching import stacked
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.model.ready import Ready
from rsp_onnx.model.session import Session
from rsp_onnx.types import Array

RAW, SCORES = "raw", "scores"  # the input and the output of the little model


class Scores:
    """Makes float32 [N, classes] of the explained output; what it takes is one little ONNX model of its own.

    Integers become the numbers they stand for, maps of scores one score per class of the region.

    Parameters
    ----------
    output_name : str
        As the model calls it.
    kind : str
        What the model does to its logits: ``softmax``, ``log-softmax``, ``sigmoid``, ``logits`` (nothing).
    classes : int or None
        How many there are, where that is known.
    reading : bytes, optional
        The little model; None where the output only needs another shape.
    """

    def __init__(self, output_name: str, kind: str, classes: int | None, reading: bytes | None) -> None:
        self.output_name, self.kind, self.classes, self.reading = output_name, kind, classes, reading
        self._session = None if reading is None else Session(Ready(reading), "cpu", 1)

    @property
    def are_plain(self) -> bool:
        """Whether the output itself holds the scores, so that nothing is calculated to read them."""
        return self._session is None

    def read(self, results: Mapping[str, Array]) -> Array:
        """Return the scores among a run's results, float32 [N, classes]; BadModel where they are not finite."""
        raw = results[self.output_name]
        if self._session is not None:
            raw = self._session.run({RAW: raw})[SCORES]
        scores = raw.astype(np.float32).reshape(raw.shape[0], -1)
        if not np.isfinite(scores).all():
            raise BadModel(
                "The model's own scores are NaN or infinite for this input; check the preprocessing and the weights."
            )
        return scores


class Scorer:
    """Runs the deployed model alone. Safe to use from several threads.

    Parameters
    ----------
    make : callable
        Returns a session of the deployed model that has the explained tensor, by name, among its outputs, with so many
        threads.
    """

    def __init__(self, make: Callable[[str, int | None], Session]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._session: Session | None = None

    def run(self, items: Sequence[Feeds], scores: Scores, batch: int | None, threads: int | None = None) -> Array:
        """Return float32 [N, classes] of items of one size.

        batch: the size the graph fixes, if it does; threads: within one op, when it runs first.
        """
        name, session = scores.output_name, self._get(scores.output_name, threads)
        runs = ((session.run(feeds, [name]), count) for feeds, count in stacked(items, batch))
        return np.concatenate([scores.read(results)[:count] for results, count in runs])

    def _get(self, output: str, threads: int | None) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._make(output, threads)
            return self._session
