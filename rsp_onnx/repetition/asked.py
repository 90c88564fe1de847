"""Methods that ask the model many times: what is asked of which input at every step.

An ONNX Loop stands around the model, one changed input a step, constant memory. The deployed model stands in front of
the loop and gives the scores; the loop's body holds the model once more (``step``), with its backward pass where the
method averages gradients and without one where it only looks at scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.layout import channels_last


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


def asked_of(op: Emitter, value: ir.Value, parameters: Mapping[str, float], channels: int | None = None) -> Asked:
    """Return an explained input, of known size, as numbers."""
    x = value if value.dtype == op.type else op.Cast(value, to=int(op.type))
    shape = list(value.shape or ())
    sizes = tuple(d for d in shape[1:] if isinstance(d, int))
    assert len(sizes) == len(shape) - 1, "an analysis leaves no size free"
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


def wide(op: Emitter, answer: ir.Value, one: Asked) -> ir.Value:
    """[K, N] as [K, N, 1, ...], to stand beside a map of the input's size."""
    return op.Unsqueeze(answer, [2 + i for i in range(len(one.sizes))])
