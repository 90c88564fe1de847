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
from rsp_onnx.graph.bodies import named
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.layout import channels_last

STEP = f"{PREFIX}/step"


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
    """

    op: Emitter
    outer: Emitter
    x: ir.Value
    sizes: tuple[int, ...]
    places: tuple[int, ...]
    parameters: Mapping[str, float]
    unchanged: ir.Value | None = None
    step: ir.Value | None = None

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
        changed input, or for a black box how likely it makes the target, [K, N, 1, ...].
    finish : callable
        From (asked, sum) the relevance.
    black_box : bool
        Only scores are looked at.
    """

    steps: Callable[[Asked], int]
    change: Callable[[Asked], tuple[ir.Value, ir.Value | None]]
    weigh: Callable[[Asked, ir.Value, ir.Value | None], ir.Value]
    finish: Callable[[Asked, ir.Value], ir.Value]
    black_box: bool = False


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
    """

    model: ir.Model
    inputs: Sequence[ir.Value]
    answers: Sequence[ir.Value]


def repeat(
    deployed: ir.Model, body: Body, repetition: Repetition, parameters: Mapping[str, float],
    answer: Callable[[Emitter, ir.Value], ir.Value], front: Callable[[Emitter], ir.Value],
) -> list[ir.Value]:  # fmt: skip
    """Write the loop behind the deployed model; return the relevance of every explained input, [K, N, *sizes].

    answer: makes [K, N] of a black box's scores; front: writes K as int64 [1].
    """
    graph = deployed.graph
    outer = Emitter(graph, np.dtype(np.float32))
    own = {v.name: v for v in graph.inputs}
    values = [own[v.name] for v in body.inputs]
    asked = [_asked(outer, v, parameters) for v in values]
    if repetition.black_box:
        unchanged = answer(outer, next(v for v in graph.outputs if v.name == body.answers[0].name))
        asked = [replace(one, unchanged=_wide(outer, unchanged, one)) for one in asked]
    inner, step, going, sums = _begin_body(graph.opset_imports, len(asked))
    op = Emitter(inner, outer.dtype, word=f"{STEP}/own")
    changes = []
    for one, source, value in zip(asked, body.inputs, values, strict=True):
        changed, weight = repetition.change(replace(one, op=op, step=step))
        changes.append(weight)
        source.replace_all_uses_with(_as_given(op, changed, value))
    for name, source in ((v.name, v) for v in body.model.graph.inputs):
        if name in own and source not in body.inputs:
            source.replace_all_uses_with(own[name])
    answers = list(body.answers)
    _move_into(body.model.graph, inner, graph)
    if repetition.black_box:
        answers = [answer(op, answers[0])] * len(asked)
    for one, total, given, weight in zip(asked, sums, answers, changes, strict=True):
        part = _wide(op, given, one) if repetition.black_box else given
        inner.outputs.append(op.Add(total, repetition.weigh(replace(one, op=op, step=step), part, weight)))
    inner.outputs.insert(0, op.Identity(going))
    _type(inner.outputs, op)
    start = [outer.Expand(0.0, outer.Concat(front(outer), outer.Shape(one.x), axis=0)) for one in asked]
    count = outer.constant(np.array(repetition.steps(asked[0])))
    ends = outer.emit_many("Loop", count, None, *start, outputs=len(asked), body=inner)
    return [repetition.finish(one, end) for one, end in zip(asked, ends, strict=True)]


def _asked(op: Emitter, value: ir.Value, parameters: Mapping[str, float]) -> Asked:
    x = value if value.dtype == op.type else op.Cast(value, to=int(op.type))
    shape = list(value.shape or ())
    sizes = tuple(d for d in shape[1:] if isinstance(d, int))
    if len(sizes) != len(shape) - 1:
        raise BadInput(f"The input {value.name!r} leaves its size free; give it with input_shapes (--input-shape).")
    return Asked(op, op, x, sizes, _places(sizes), parameters)


def _places(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that are places: behind the channels, or in front of them where they stand last."""
    rank = len(sizes)
    if rank < 2:
        return (1,) if rank else ()
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


def _wide(op: Emitter, answer: ir.Value, one: Asked) -> ir.Value:
    """[K, N] as [K, N, 1, ...], to stand beside a map of the input's size."""
    return op.Unsqueeze(answer, [2 + i for i in range(len(one.sizes))])


def _type(values: Sequence[ir.Value], op: Emitter) -> None:
    values[0].type, values[0].shape = ir.TensorType(ir.DataType.BOOL), ir.Shape(())
    for value in values[1:]:
        value.type = ir.TensorType(op.type)
