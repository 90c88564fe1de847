"""What must be known of a graph to read the results of its explainer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.scores.as_numbers import as_numbers, needs_no_numbers

from .scoring import RAW, SCORES, Scores


def scores_of(analysis: Analysis) -> Scores:
    """Return what reads the model's own scores out of its explained output."""
    model = _reading(analysis)
    reading = None if model is None else bytes(ir.to_proto(model).SerializeToString())
    return Scores(analysis.output_name, analysis.kind, analysis.classes, reading)


def _reading(analysis: Analysis) -> ir.Model | None:
    """Return a model from the raw output to scores; None where they only need another shape."""
    graph, output = analysis.graph, analysis.output
    if needs_no_numbers(graph, analysis.reading):
        return None
    raw = ir.Value(name=RAW, shape=output.shape, type=ir.TensorType(output.dtype or ir.DataType.FLOAT))
    inner = ir.Graph([raw], [], nodes=[], opset_imports=dict(graph.model.graph.opset_imports), name=SCORES)
    model, op = ir.Model(inner, ir_version=graph.model.ir_version), Emitter(inner, np.dtype(np.float32))
    scores = as_numbers(op, raw, graph, analysis.reading)
    result = op.emit("Identity", scores, name=SCORES)
    result.dtype = op.type
    inner.outputs.append(result)
    return model


def not_by_sample(graph: Graph, tensors: Sequence[str]) -> frozenset[str]:
    """Return which inputs and wanted tensors do not have the batch in front: their relevance is one sample's as it is.

    Raises
    ------
    BadInput
        The batch is free, and a wanted tensor does not keep its samples apart.
    """
    values = [*graph.inputs, *(graph.values[name] for name in tensors if name in graph.values)]
    if graph.batch is not None:
        return frozenset(str(v.name) for v in values if graph.batch == 1 and graph.dims(v)[:1] != (1,))
    for value in values:
        if not leads_with_batch(value):
            raise BadInput(
                f"The relevance at {value.name!r} cannot be told apart by sample: its first axis is not the batch; "
                "name another tensor."
            )
    return frozenset()
