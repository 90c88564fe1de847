"""The model's own scores: from its outputs as they are to one number per sample and class."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.errors import BadModel
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.inputs.batching import stacked
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.model.session import Session
from rsp_onnx.scores.as_numbers import as_numbers, needs_no_numbers
from rsp_onnx.scores.outputs import exposed
from rsp_onnx.types import Array

_RAW, _SCORES = "raw", "scores"


class Scores:
    """Makes float32 [N, classes] of the explained output; what it takes is one little ONNX model of its own.

    Integers become the numbers they stand for, maps of scores one score per class of the region.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.output_name, self.kind, self.classes = analysis.output_name, analysis.kind, analysis.classes
        model = _reading(analysis)
        self._session = None if model is None else Session(model, "cpu", 1)

    @property
    def are_plain(self) -> bool:
        """Whether the output itself holds the scores, so that nothing is calculated to read them."""
        return self._session is None

    def read(self, results: Mapping[str, Array]) -> Array:
        """Return the scores among a run's results, float32 [N, classes]; BadModel where they are not finite."""
        raw = results[self.output_name]
        if self._session is not None:
            raw = self._session.run({_RAW: raw})[_SCORES]
        scores = raw.astype(np.float32).reshape(raw.shape[0], -1)
        if not np.isfinite(scores).all():
            raise BadModel(
                "The model's own scores are NaN or infinite for this input; check the preprocessing and the weights."
            )
        return scores


def _reading(analysis: Analysis) -> ir.Model | None:
    """Return a model from the raw output to scores; None where they only need another shape."""
    graph, output = analysis.graph, analysis.output
    if needs_no_numbers(graph, analysis.reading):
        return None
    raw = ir.Value(name=_RAW, shape=output.shape, type=ir.TensorType(output.dtype or ir.DataType.FLOAT))
    inner = ir.Graph([raw], [], nodes=[], opset_imports=dict(graph.model.graph.opset_imports), name=_SCORES)
    model, op = ir.Model(inner, ir_version=graph.model.ir_version), Emitter(inner, np.dtype(np.float32))
    scores = as_numbers(op, raw, graph, analysis.reading)
    result = op.emit("Identity", scores, name=_SCORES)
    result.dtype = op.type
    inner.outputs.append(result)
    return model


class Scorer:
    """Runs the deployed model alone. Safe to use from several threads.

    Parameters
    ----------
    model : onnx_ir.Model
        As it was loaded.
    """

    def __init__(self, model: ir.Model, device: str) -> None:
        self._model, self._device = model, device
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
                self._session = Session(exposed(self._model, output), self._device, threads)
            return self._session
