"""Methods that ask the model many times: an ONNX Loop around it, one changed input a step, constant memory.

The deployed model stands in front of the loop and gives the scores; the loop's body holds the model once more, with
its backward pass where the method averages gradients and without one where it only looks at scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.layout import channels_last

from .second_forward import named

STEP = f"{PREFIX}/step"
PROBABILITIES = "probabilities"  # the parameter of a black box that asks for them
ANSWERS = "answer_range"  # the output that says what a black box was answered


@dataclass(frozen=True)
class Asked:
    """One explained input while a step is written.

    Attributes
    ----------
    op : Emitter
        Writes into the loop's body, or behind the loop when the end is written.
    outer : Emitter
        Writes in front of the loop, where large constants belong.
    x : onnx_ir.Value
        The input as numbers, [N, *sizes].
    sizes : tuple of int
        Of one sample.
    places : tuple of int
        The axes of x that are places, the first behind the batch; for tables the features.
    parameters : mapping
        The method's own.
    unchanged : onnx_ir.Value, optional
        A black box's answer to the unchanged input, [K, N, 1, ...].
    step : onnx_ir.Value, optional
        int64 scalar, from 0; None in front of and behind the loop.
    of_probability : bool
        A black box's answer is a probability, not a logit.
    weights : onnx_ir.Value, optional
        Behind a black box's loop: the sum of the steps' weights.
    mean_change : onnx_ir.Value, optional
        Behind a black box's loop: the mean of its answers, less the unchanged one; [K, N, 1, ...].
    """

    op: Emitter
    outer: Emitter
    x: ir.Value
    sizes: tuple[int, ...]
    places: tuple[int, ...]
    parameters: Mapping[str, float]
    unchanged: ir.Value | None = None
    step: ir.Value | None = None
    of_probability: bool = False
    weights: ir.Value | None = None
    mean_change: ir.Value | None = None

    @property
    def extents(self) -> tuple[int, ...]:
        """Sizes along the places."""
        return tuple(self.sizes[a - 1] for a in self.places)


@dataclass(frozen=True)
class Repetition:
    """How a method asks the model about changed inputs.

    Attributes
    ----------
    steps : callable
        How many there are.
    change : callable
        Returns (the changed input [N, *sizes], what the answer is weighted with or None).
    weigh : callable
        From (asked, answer, weight) what is added to the sum [K, N, *sizes]. The answer is the relevance of the
        changed input, or for a black box the target's score, [K, N, 1, ...].
    finish : callable
        From (asked, sum) the relevance.
    black_box : bool
        Only scores are looked at.
    apart : bool
        Of several inputs one after the other is changed, with steps of its own; else all are at every step.
    """

    steps: Callable[[Asked], int]
    change: Callable[[Asked], tuple[ir.Value, ir.Value | None]]
    weigh: Callable[[Asked, ir.Value, ir.Value | None], ir.Value]
    finish: Callable[[Asked, ir.Value], ir.Value]
    black_box: bool = False
    apart: bool = False

    def turns(self, asked: Sequence[Asked]) -> list[range]:
        """Return, per input, the steps at which it is changed."""
        counts = [self.steps(one) for one in asked]
        if not self.apart:
            return [range(counts[0])] * len(asked)
        return [range(sum(counts[:i]), sum(counts[: i + 1])) for i in range(len(counts))]


@dataclass(frozen=True)
class Body:
    """The model a step runs: with its backward pass, or alone.

    Attributes
    ----------
    model : onnx_ir.Model
        Its nodes move into the loop.
    inputs : sequence of onnx_ir.Value
        Those that are explained.
    answers : sequence of onnx_ir.Value
        The relevance of each of them; of a black box one tensor of scores.
    channels : sequence of int or None
        The axis of each one's channels, see ``input_channels``.
    """

    model: ir.Model
    inputs: Sequence[ir.Value]
    answers: Sequence[ir.Value]
    channels: Sequence[int | None]


@dataclass(frozen=True)
class Question:
    """What a loop asks of the model.

    Attributes
    ----------
    answer : callable
        Makes [K, N] of a black box's scores.
    front : callable
        Writes K as int64 [1].
    of_probability : bool
        A black box's answer is a probability, not a logit.
    """

    answer: Callable[[Emitter, ir.Value], ir.Value]
    front: Callable[[Emitter], ir.Value]
    of_probability: bool = False


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


def asked_of(op: Emitter, value: ir.Value, parameters: Mapping[str, float], channels: int | None = None) -> Asked:
    """Return an explained input, of known size, as numbers."""
    x = value if value.dtype == op.type else op.Cast(value, to=int(op.type))
    shape = list(value.shape or ())
    sizes = tuple(d for d in shape[1:] if isinstance(d, int))
    if len(sizes) != len(shape) - 1:
        raise BadInput(f"The input {value.name!r} leaves its size free; give it with input_shapes (--input-shape).")
    return Asked(op, op, x, sizes, _places(sizes, channels), parameters)


def _places(sizes: Sequence[int], channels: int | None) -> tuple[int, ...]:
    """Return the axes that are places: all but the channels', which stand first where nothing tells."""
    rank = len(sizes)
    if rank < 2:
        return (1,) if rank else ()
    if rank == 2 and channels is not None:
        return tuple(axis for axis in (1, 2) if axis != channels)
    if channels_last((None, *sizes)):
        return (1, 2)
    return tuple(range(2, rank + 1))


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
    """Move all nodes into the body; weights stay outside, shared with the deployed model's where it has them."""
    nodes = list(source)
    source.outputs.clear()
    for name, value in list(source.initializers.items()):
        if name in outer.initializers and not name.startswith(PREFIX):
            value.replace_all_uses_with(outer.initializers[name])
            continue
        del source.initializers[name]
        value.name = f"{STEP}/{name}"
        outer.register_initializer(value)
    source.remove(nodes)
    for item in named(nodes):
        item.name = f"{STEP}/{item.name}" if item.name else item.name
    body.extend(nodes)


def wide(op: Emitter, answer: ir.Value, one: Asked) -> ir.Value:
    """[K, N] as [K, N, 1, ...], to stand beside a map of the input's size."""
    return op.Unsqueeze(answer, [2 + i for i in range(len(one.sizes))])


def _type(values: Sequence[ir.Value], op: Emitter) -> None:
    values[0].type, values[0].shape = ir.TensorType(ir.DataType.BOOL), ir.Shape(())
    for value in values[1:]:
        value.type = ir.TensorType(op.type)
