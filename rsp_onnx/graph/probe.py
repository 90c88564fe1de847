"""Running a model for the shapes of its tensors alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx.reference
import onnx_ir as ir

from rsp_onnx.errors import BadModel, UnsupportedOp
from rsp_onnx.model.session import Session

_SHAPE_OF = "rsp_onnx/shape_of/"
_LOG = logging.getLogger(__name__)


def shapes_of_a_run(
    model: ir.Model, values: Sequence[ir.Value], feeds: Mapping[str, np.ndarray]
) -> list[tuple[int, ...] | None]:
    """Return the shape that each of a model's tensors has in one run; None for all where it does not run.

    The outputs of the run are the shapes, so that a tensor is freed when its readers have run.

    Raises
    ------
    UnsupportedOp
        No library has one of the ops.
    """
    work, names = _with_shapes(model, [str(v.name) for v in values])
    try:
        return [tuple(int(size) for size in shape) for shape in _run(work, names, feeds)]
    except UnsupportedOp:
        raise
    except Exception as error:  # shapes stay unknown; whoever needs one says which
        _LOG.debug("the probing run failed: %s", error)
        return [None] * len(values)


def _with_shapes(model: ir.Model, names: Sequence[str]) -> tuple[ir.Model, list[str]]:
    """Return a copy whose outputs are the shapes of tensors, and what these outputs are called."""
    work = model.clone()
    outputs = {name: f"{_SHAPE_OF}{number}" for number, name in enumerate(names)}
    work.graph.outputs.clear()
    for node in list(work.graph):
        for value in node.outputs:
            if value.name in outputs:
                shape = ir.node("Shape", [value])
                shape.outputs[0].name, shape.outputs[0].dtype = outputs[value.name], ir.DataType.INT64
                work.graph.insert_after(node, shape)
                work.graph.outputs.append(shape.outputs[0])
    return work, list(outputs.values())


def _run(model: ir.Model, names: list[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    try:
        results = Session(model, "cpu", probing=True).run(feeds, names)
        return [results[name] for name in names]
    except UnsupportedOp:
        raise
    except BadModel as error:  # ONNX Runtime lacks some float64 kernels; the reference has them
        _LOG.debug("ONNX Runtime cannot run the probe: %s", error)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's remarks on what ones make of a model say nothing to the user
            return list(onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(names, dict(feeds)))
