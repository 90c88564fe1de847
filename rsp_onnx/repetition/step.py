"""One step of a repetition, written as the body of a Loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.bodies import named
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.op_facts import Data, facts_of

from .asked import Asked, Body, Question, Repetition, wide

STEP = f"{PREFIX}/step"


def write_step(
    graph: ir.Graph, body: Body, repetition: Repetition, question: Question, asked: Sequence[Asked],
    own: Mapping[ir.Value, ir.Value],
) -> ir.Graph:  # fmt: skip
    """Write a step. Its outputs: whether to go on, the sums, and of a black box the sums of weights and the answer.

    own: the deployed model's input for each that is changed.
    """
    black_box = repetition.black_box
    inner, step, going, sums = _begin_body(graph.opset_imports, len(asked) * (2 if black_box else 1))
    op = Emitter(inner, np.dtype(np.float32), word=f"{STEP}/own")
    asked = [replace(one, op=op, step=step) for one in asked]
    changes = []
    for one, turn, (source, value) in zip(asked, repetition.turns(asked), own.items(), strict=True):
        changed, weight = _changed(repetition, one, turn if repetition.apart and len(asked) > 1 else None)
        changes.append(weight)
        source.replace_all_uses_with(_as_given(op, changed, value))
    _share_inputs(graph, body)
    answers = list(body.answers)
    _move_into(body.model.graph, inner, graph)
    if black_box:
        answers = [question.answer(op, answers[0])] * len(asked)
    for one, total, given, weight in zip(asked, sums, answers, changes, strict=False):
        part = wide(op, given, one) if black_box else given
        inner.outputs.append(op.Add(total, repetition.weigh(one, part, weight)))
    if black_box:
        inner.outputs.extend(op.Add(s, w) for s, w in zip(sums[len(asked) :], changes, strict=True))
        inner.outputs.append(op.Identity(answers[0]))
    inner.outputs.insert(0, op.Identity(going))
    _type(inner.outputs, op)
    return inner


def _changed(repetition: Repetition, one: Asked, turn: range | None) -> tuple[ir.Value, ir.Value | None]:
    """Return the changed input and the weight; outside its turn the input as it is, and 0."""
    if turn is None:
        return repetition.change(one)
    op = one.op
    place = op.Sub(one.step, np.array(turn.start))
    mine = op.And(op.GreaterOrEqual(place, np.array(0)), op.Less(place, np.array(len(turn))))
    here = op.Max(op.Min(place, np.array(len(turn) - 1)), np.array(0))
    changed, weight = repetition.change(replace(one, step=here))
    changed = op.Where(mine, changed, one.x)
    return changed, None if weight is None else op.Mul(weight, op.Cast(mine, to=int(op.type)))


def _share_inputs(graph: ir.Graph, body: Body) -> None:
    """Let the body read the deployed model's inputs that are not changed."""
    own = {v.name: v for v in graph.inputs}
    for source in body.model.graph.inputs:
        if source.name in own and source not in body.inputs:
            source.replace_all_uses_with(own[source.name])


def _begin_body(opsets: Mapping[str, int], count: int) -> tuple[ir.Graph, ir.Value, ir.Value, list[ir.Value]]:
    """Return the body and its inputs: the step, whether to go on, the sums so far."""
    step = ir.Value(name=f"{STEP}/index", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))
    going = ir.Value(name=f"{STEP}/going", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(()))
    sums = [ir.Value(name=f"{STEP}/sum_{i}", type=ir.TensorType(ir.DataType.FLOAT)) for i in range(count)]
    body = ir.Graph([step, going, *sums], [], nodes=[], opset_imports=dict(opsets), name="rsp_onnx_step")
    return body, step, going, sums


def _as_given(op: Emitter, changed: ir.Value, value: ir.Value) -> ir.Value:
    """Return a changed input in the dtype the model wants; whole numbers are rounded and kept in range."""
    if value.dtype is None or value.dtype == op.type:
        return changed
    if not value.dtype.is_floating_point():
        limits = np.iinfo(value.dtype.numpy())
        changed = op.Clip(op.Round(changed), float(limits.min), float(limits.max))
    return op.Cast(changed, to=int(value.dtype))


def _move_into(source: ir.Graph, body: ir.Graph, outer: ir.Graph) -> None:
    """Move all nodes into the body; weights stay outside, shared with the deployed model's where it has them.

    Quantised ones go with their nodes: where a DequantizeLinear in a loop reads a constant from outside of it, ONNX
    Runtime's TransposeOptimizer ends the process with a segmentation fault (seen in 1.31).
    """
    nodes = list(source)
    source.outputs.clear()
    for name, value in list(source.initializers.items()):
        quantised = any(facts_of(node).data is Data.QUANTISES for node in value.consumers())
        if not quantised and name in outer.initializers and not name.startswith(PREFIX):
            value.replace_all_uses_with(outer.initializers[name])
            continue
        del source.initializers[name]
        value.name = f"{STEP}/{name}"
        (body if quantised else outer).register_initializer(value)
    source.remove(nodes)
    for item in named(nodes):
        item.name = f"{STEP}/{item.name}" if item.name else item.name
    body.extend(nodes)


def _type(values: Sequence[ir.Value], op: Emitter) -> None:
    values[0].type, values[0].shape = ir.TensorType(ir.DataType.BOOL), ir.Shape(())
    for value in values[1:]:
        value.type = ir.TensorType(op.type)
