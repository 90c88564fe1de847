"""Compiling a method that asks the model about many changed inputs (see ``repetition``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Options
from rsp_onnx.scores.region import to_scores

from .analysis import Analysis
from .interface import add_classes, add_output, add_outputs, describe, emit_walk
from .method import Method
from .repetition import Body, Repetition, repeat


def compile_repeated(
    analysis: Analysis, method: Method, repetition: Repetition, options: Options, notes: Mapping[str, object],
    tensors: Sequence[str],
) -> ir.Model:  # fmt: skip
    """Return the deployed model with the loop behind it; inputs and outputs are those of every explainer.

    analysis: a copy, which is written into.

    Raises
    ------
    BadInput
        Tensors inside the model were asked for, or an input is no number that can be changed.
    """
    if tensors:
        raise BadInput(f"{method.name} knows the relevance of the inputs alone, not of {tensors[0]!r}; use another.")
    deployed = analysis.deployed.clone()
    if method.is_black_box:
        body = Body(analysis.graph.model, analysis.graph.inputs, [analysis.output])
    else:
        ctx, outcome = emit_walk(analysis, method, options)
        add_outputs(ctx, analysis, outcome, ())
        body = Body(analysis.graph.model, analysis.graph.inputs, _relevances(analysis))
    _check_inputs(analysis, method)
    target, _ = add_classes(deployed, analysis.graph.batch or "N")

    def likely(op: Emitter, scores: ir.Value) -> ir.Value:
        return _of_target(op, _as_probabilities(op, scores, analysis), target)

    def front(op: Emitter) -> ir.Value:
        return op.Shape(target, start=0, end=1)

    inputs = list(analysis.graph.inputs)
    relevances = repeat(deployed, body, repetition, method.parameters, likely, front)
    op = Emitter(deployed.graph, np.dtype(np.float32))
    own = {v.name: v for v in deployed.graph.inputs}
    for value, r in zip(inputs, relevances, strict=True):
        add_output(op, "relevance" if len(inputs) == 1 else f"relevance/{value.name}", r, own[value.name])
    describe(analysis, deployed, notes)
    return deployed


def _relevances(analysis: Analysis) -> list[ir.Value]:
    outputs = {v.name: v for v in analysis.graph.model.graph.outputs}
    several = len(analysis.graph.inputs) > 1
    return [outputs[f"relevance/{v.name}" if several else "relevance"] for v in analysis.graph.inputs]


def _check_inputs(analysis: Analysis, method: Method) -> None:
    for value in analysis.graph.inputs:
        if value.dtype is None or value.dtype in (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL):
            raise BadInput(
                f"{method.name} changes the input's numbers, and {value.name!r} holds {value.dtype} (token ids?); "
                "use one that walks backward, such as rsp."
            )


def _as_probabilities(op: Emitter, scores: ir.Value, analysis: Analysis) -> ir.Value:
    """Return [N, classes]: how likely each class is, whatever the model's last layer left out."""
    kind = scores.dtype
    if kind is not None and not kind.is_floating_point():
        wide = op.Div(op.Cast(scores, to=int(op.type)), float(np.iinfo(kind.numpy()).max))
    else:
        wide = scores if kind == op.type else op.Cast(scores, to=int(op.type))
    reading, count = analysis.reading, analysis.classes or 1
    flat = op.Reshape(
        to_scores(op, wide, analysis.graph.dims(analysis.output), reading.axes, reading.region), [-1, count]
    )
    if analysis.kind == "log-softmax":
        return op.Exp(flat)
    return op.Softmax(flat, axis=1) if analysis.kind == "logits" and count > 1 else flat


def _of_target(op: Emitter, chance: ir.Value, target: ir.Value) -> ir.Value:
    """[N, classes] and target [K, N] → [K, N]."""
    return op.Transpose(op.GatherElements(chance, op.Transpose(target, perm=[1, 0]), axis=1), perm=[1, 0])
