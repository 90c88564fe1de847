"""Compiling a method that asks the model about many changed inputs (see ``rsp_onnx.repetition``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.axes.input_channels import input_channels
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.names import ANSWERS
from rsp_onnx.parameters import PROBABILITIES
from rsp_onnx.repetition.asked import Body, Question, Repetition, asked_of, wide
from rsp_onnx.repetition.step import write_step
from rsp_onnx.rulekit.context import Options
from rsp_onnx.scores.region import to_scores
from rsp_onnx.simplify.simplify import simplify

from .analysis import Analysis
from .interface import add_classes, add_output, add_outputs, choose_predicted, describe, emit_walk
from .method import Method


def compile_repeated(
    analysis: Analysis, method: Method, repetition: Repetition, options: Options, notes: Mapping[str, object],
    tensors: Sequence[str], ledger: bool = False,
) -> ir.Model:  # fmt: skip
    """Return the deployed model with the loop behind it; inputs and outputs are those of every explainer.

    analysis: a copy, which is written into. ledger: add a black box's ``answer_range``, see ``Repeated``.

    Raises
    ------
    BadInput
        Tensors inside the model were asked for, or an input is no number that can be changed.
    """
    if tensors:
        raise BadInput(f"{method.name} knows the relevance of the inputs alone, not of {tensors[0]!r}; use another.")
    deployed = analysis.deployed.clone()
    channels = [input_channels(analysis.graph, value) for value in analysis.graph.inputs]
    if method.is_black_box:
        body = Body(analysis.graph.model, analysis.graph.inputs, [analysis.output], channels)
    else:
        ctx, outcome = emit_walk(analysis, method, options)
        add_outputs(ctx, analysis, outcome, ())
        simplify(analysis.graph.model, analysis.graph.nodes)
        body = Body(analysis.graph.model, analysis.graph.inputs, _relevances(analysis), channels)
    _check_inputs(analysis, method)
    target, _ = add_classes(deployed, analysis.graph.batch or "N", analysis.targets)
    output = next(v for v in deployed.graph.outputs if v.name == analysis.output_name)
    chosen = choose_predicted(analysis, deployed, target, output)
    choosing = [node for node, _ in target.uses()]

    inputs = list(analysis.graph.inputs)
    ended = repeat(deployed, body, repetition, method.parameters, _question(analysis, method, chosen))
    for node, slot in list(target.uses()):  # the steps ask about the class that the unchanged input chose
        if node not in choosing:
            node.replace_input_with(slot, chosen)
    op = Emitter(deployed.graph, np.dtype(np.float32))
    own = {v.name: v for v in deployed.graph.inputs}
    for value, r in zip(inputs, ended.relevances, strict=True):
        add_output(op, "relevance" if len(inputs) == 1 else f"relevance/{value.name}", r, own[value.name])
    if ledger and ended.answers is not None:
        deployed.graph.outputs.append(_typed(op, ended.answers, analysis.graph.batch or "N"))
    describe(analysis, deployed, notes)
    return deployed


def _typed(op: Emitter, answers: ir.Value, batch: int | str) -> ir.Value:
    result = op.emit("Identity", answers, name=ANSWERS)
    result.dtype, result.shape = op.type, ir.Shape(["K", batch, 3])
    return result


def _question(analysis: Analysis, method: Method, target: ir.Value) -> Question:
    """Return what is measured of the target: the model's own score of it, or how likely it is where that is asked."""
    likely = bool(method.parameters.get(PROBABILITIES))

    def answer(op: Emitter, scores: ir.Value) -> ir.Value:
        flat = _by_class(op, scores, analysis)
        return _of_target(op, _as_probabilities(op, flat, analysis) if likely else flat, target)

    def front(op: Emitter) -> ir.Value:
        return op.Shape(target, start=0, end=1)

    return Question(answer, front, likely or analysis.kind in ("softmax", "sigmoid"))


@dataclass(frozen=True)
class Repeated:
    """What the loop ended with: the relevance of every explained input [K, N, *sizes], and a black box's answers.

    Attributes
    ----------
    answers : onnx_ir.Value, optional
        float32 [K, N, 3]: the answer to the unchanged input, the smallest and the largest to a changed one.
    """

    relevances: list[ir.Value]
    answers: ir.Value | None = None


def repeat(
    deployed: ir.Model, body: Body, repetition: Repetition, parameters: Mapping[str, float], question: Question
) -> Repeated:
    """Write the loop behind the deployed model."""
    graph = deployed.graph
    outer = Emitter(graph, np.dtype(np.float32))
    own = {v.name: v for v in graph.inputs}
    values = [own[v.name] for v in body.inputs]
    for value, source in zip(values, body.inputs, strict=True):  # what the file leaves free, the analysis fixed
        value.shape = source.shape
    asked = [
        replace(asked_of(outer, value, parameters, channels), of_probability=question.of_probability)
        for value, channels in zip(values, body.channels, strict=True)
    ]
    unchanged: ir.Value | None = None
    if repetition.black_box:
        unchanged = question.answer(outer, next(v for v in graph.outputs if v.name == body.answers[0].name))
        asked = [replace(one, unchanged=wide(outer, unchanged, one)) for one in asked]
    start = [outer.Expand(0.0, outer.Concat(question.front(outer), outer.Shape(one.x), axis=0)) for one in asked]
    inner = write_step(graph, body, repetition, question, asked, dict(zip(body.inputs, values, strict=True)))
    count = outer.constant(np.array(max(turn.stop for turn in repetition.turns(asked))))
    if unchanged is None:
        ends = outer.emit_many("Loop", count, None, *start, outputs=len(asked), body=inner)
        return Repeated([repetition.finish(one, end) for one, end in zip(asked, ends, strict=True)])
    start += [outer.constant(np.zeros([1] * (1 + len(one.sizes)))) for one in asked]
    *ends, answers = outer.emit_many("Loop", count, None, *start, outputs=2 * len(asked) + 1, body=inner)
    change = outer.ReduceMean(outer.Sub(answers, unchanged), [0], keepdims=0)
    asked = [
        replace(one, weights=weights, mean_change=wide(outer, change, one))
        for one, weights in zip(asked, ends[len(asked) :], strict=True)
    ]
    found = [repetition.finish(one, end) for one, end in zip(asked, ends, strict=False)]
    return Repeated(found, _spread(outer, unchanged, answers))


def _spread(op: Emitter, unchanged: ir.Value, answers: ir.Value) -> ir.Value:
    """Unchanged [K, N], and answers [steps, K, N] → [K, N, 3]."""
    ends = [op.ReduceMin(answers, [0], keepdims=0), op.ReduceMax(answers, [0], keepdims=0)]
    return op.Concat(*[op.Unsqueeze(value, [2]) for value in (unchanged, *ends)], axis=2)


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


def _by_class(op: Emitter, scores: ir.Value, analysis: Analysis) -> ir.Value:
    """Return the model's own scores as numbers [N, classes]; integers as shares of the largest there is."""
    kind = scores.dtype
    if kind is not None and not kind.is_floating_point():
        wide = op.Div(op.Cast(scores, to=int(op.type)), float(np.iinfo(kind.numpy()).max))
    else:
        wide = scores if kind == op.type else op.Cast(scores, to=int(op.type))
    reading, sizes = analysis.reading, analysis.graph.dims(analysis.output)
    return op.Reshape(to_scores(op, wide, sizes, reading.axes, reading.region), [-1, analysis.classes or 1])


def _as_probabilities(op: Emitter, flat: ir.Value, analysis: Analysis) -> ir.Value:
    """Return [N, classes]: how likely each class is, whatever the model's last layer left out."""
    if analysis.kind == "log-softmax":
        return op.Exp(flat)
    if analysis.kind != "logits":
        return flat
    return op.Softmax(flat, axis=1) if analysis.classes != 1 else op.Sigmoid(flat)


def _of_target(op: Emitter, chance: ir.Value, target: ir.Value) -> ir.Value:
    """[N, classes] and target [K, N] → [K, N]."""
    return op.Transpose(op.GatherElements(chance, op.Transpose(target, perm=[1, 0]), axis=1), perm=[1, 0])
