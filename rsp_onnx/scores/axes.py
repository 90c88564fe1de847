"""What the axes of a model's scores are: samples, classes, positions. Decided once, said by ``inspect``.

The class axis is, by the first of these that tells: the one the user names; the only one; the one a final softmax runs
over; the one as long as the labels; the channels, followed through the graph from the layer that made them; the only
one longer than 1; the second, or the last where that is shorter, a guess that is said to be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from rsp_onnx.axes.follow import channel_axis
from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.shapes import BATCH, Dims


@dataclass(frozen=True)
class ScoreAxes:
    """What the axes of a tensor of scores are.

    Attributes
    ----------
    rank : int
    sample : int or None
        The axis of samples; None where the tensor is one sample's.
    classes : int or None
        The axis of classes; None where every sample (and position) has one score.
    places : tuple of int
        The axes of positions: of masks, boxes, time steps.
    rows : tuple of int, optional
        Of the class axis, where the classes are: the first and the one behind the last; None for all.
    told_by : str
        What the class axis was told by.
    guessed : bool
        It was guessed from sizes alone.
    """

    rank: int
    sample: int | None
    classes: int | None
    places: tuple[int, ...] = ()
    rows: tuple[int, int] | None = None
    told_by: str = ""
    guessed: bool = False

    @property
    def is_plain(self) -> bool:
        """Tell of scores that are [N, classes], with nothing but ones behind."""
        return self.sample == 0 and self.classes == 1 and self.rows is None

    @property
    def is_sequence(self) -> bool:
        """Tell of scores with time in front of the samples, as CTC wants them."""
        return self.sample is not None and self.places[:1] == (0,)

    def count(self, sizes: Dims) -> int | None:
        """Return how many classes a tensor of these sizes scores; None where that is not known."""
        if self.rows is not None:
            return self.rows[1] - self.rows[0]
        return 1 if self.classes is None else sizes[self.classes]

    def moved(self, axes: Sequence[int]) -> ScoreAxes:
        """Return the same of a tensor whose axis ``i`` is our axis ``axes[i]``."""
        at = {own: i for i, own in enumerate(axes)}
        sample = None if self.sample is None else at[self.sample]
        classes = None if self.classes is None else at[self.classes]
        return replace(self, sample=sample, classes=classes, places=tuple(sorted(at[p] for p in self.places)))


@dataclass(frozen=True)
class Evidence:
    """What tells the class axis, besides the tensor itself.

    Attributes
    ----------
    wanted : int, optional
        The axis the user names; negative ones count from the end.
    softmax : int, optional
        The axis a final softmax runs over.
    labels : int, optional
        How many labels there are.
    known : tuple of (int, str), optional
        The axis an op that reads the scores has its classes on, and that op.
    """

    wanted: int | None = None
    softmax: int | None = None
    labels: int | None = None
    known: tuple[int, str] | None = None


def find_axes(graph: Graph, value: ir.Value, evidence: Evidence) -> ScoreAxes:
    """Decide what the axes of a tensor of scores are.

    Raises
    ------
    BadInput
        The axis the user names is none, or that of the samples.
    BadModel
        The sizes of the scores are not known before run time, or no axis can be that of the samples.
    """
    sizes = graph.dims(value)
    if value.shape is None or (len(sizes) == 2 and sizes[1] is None):  # why it is unknown is told where it matters
        return ScoreAxes(len(sizes), 0, 1, told_by="nothing: its shape is not known")
    sample = sample_axis(graph, value)
    _check_known(value, sizes, sample)
    rest = [a for a in range(len(sizes)) if a != sample]
    if not rest:
        return ScoreAxes(len(sizes), sample, None, told_by="one score per sample")
    axis, why = _class_axis(graph, value, rest, evidence)
    places = tuple(a for a in rest if a != axis)
    return ScoreAxes(len(sizes), sample, axis, places, told_by=why, guessed=why == GUESSED)


GUESSED = "the sizes alone (a guess)"


def sample_axis(graph: Graph, value: ir.Value) -> int | None:
    """Return the axis of the samples; None where the tensor is one sample's.

    Of a free batch it is known. A fixed one stands in front, unless that axis is longer than the batch: then it is the
    first of that size. Of a batch of one, every axis of size 1 would do, since all of them hold the one sample.
    """
    sizes, batch = graph.dims(value), graph.batch
    if batch is None:
        shape = list(value.shape) if value.shape is not None else []
        free = [a for a, d in enumerate(shape) if not isinstance(d, int) and d.value == BATCH]
        return free[0] if free else None
    if len(sizes) == 1:
        return 0 if sizes[0] == batch else None
    if batch == 1 or batch not in sizes:
        return sizes.index(1) if 1 in sizes else None
    return sizes.index(batch)


def _check_known(value: ir.Value, sizes: Dims, sample: int | None) -> None:
    if any(d is None for a, d in enumerate(sizes) if a != sample):
        shape = " × ".join("?" if d is None else str(d) for d in sizes)
        raise BadModel(
            f"The output {value.name!r} is {shape}: how many numbers it holds is known at run time only; give sizes "
            "with input_shapes (--input-shape), or name a tensor that holds the scores themselves with --output."
        )


def _class_axis(graph: Graph, value: ir.Value, rest: Sequence[int], evidence: Evidence) -> tuple[int, str]:
    """rest: the axes besides that of the samples, at least one."""
    sizes = graph.dims(value)
    if evidence.wanted is not None:
        return _wanted(value, sizes, rest, evidence.wanted), "the user (--class-axis)"
    if len(rest) == 1:
        return rest[0], "its being the only one"
    if evidence.known is not None and evidence.known[0] in rest:
        return evidence.known
    if evidence.softmax is not None and evidence.softmax in rest:
        return evidence.softmax, "the softmax behind it"
    fits = [a for a in rest if sizes[a] == evidence.labels]
    if len(fits) == 1:
        return fits[0], f"the {evidence.labels} labels"
    channels = channel_axis(graph, value)
    if channels is not None and channels in rest:
        return channels, "the layer that made it"
    long = [a for a in rest if sizes[a] != 1]
    if len(long) < 2:
        return (long or list(rest))[0], "its being the only one longer than 1"
    first, last = sizes[rest[0]], sizes[rest[-1]]
    shorter = first is not None and last is not None and last < first
    return rest[-1] if shorter or rest[0] != 1 else rest[0], GUESSED


def _wanted(value: ir.Value, sizes: Dims, rest: Sequence[int], wanted: int) -> int:
    axis = wanted + len(sizes) if wanted < 0 else wanted
    if axis not in rest:
        shape = " × ".join("N" if d is None else str(d) for d in sizes)
        raise BadInput(
            f"The class axis {wanted} is none of the output {value.name!r}, which is {shape}: "
            f"say one of {', '.join(map(str, rest))} with --class-axis."
        )
    return axis
