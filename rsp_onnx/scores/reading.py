"""How a model's scores are read: which output, what its axes mean, which classes, which positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from rsp_onnx.axes.follow import moved_axes
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.dag import Graph

from .axes import Evidence, ScoreAxes, find_axes
from .boxes import Rows, class_rows, suppressed_scores
from .logits import find_logits, softmax_axis
from .region import long_places, resolved


@dataclass(frozen=True)
class ScoreOptions:
    """What the user says of the scores.

    Attributes
    ----------
    output : str, optional
        Any tensor of the graph; by default the first output that holds scores of classes.
    region : str
        Of masks, boxes and sequences, which positions count, see ``Explainer``.
    class_axis : int, optional
        The axis of the output that holds the classes.
    class_rows : str
        Which rows of that axis are classes, as FIRST:END; empty for all, or what a detector's head tells.
    labels : int, optional
        How many labels there are.
    """

    output: str | None = None
    region: str = "auto"
    class_axis: int | None = None
    class_rows: str = ""
    labels: int | None = None


@dataclass(frozen=True)
class ScoreReading:
    """What was decided.

    Attributes
    ----------
    output, logits : onnx_ir.Value
        The explained output, and the tensor its classes' gradients start from.
    kind : str
        What the model does to the logits at its end: ``softmax``, ``log-softmax``, ``sigmoid``, ``logits`` (nothing).
    axes, logits_axes : ScoreAxes
        Of either.
    region : str
        Which positions count; empty where there are none.
    notes : tuple of str
        What was decided, where a reader may wonder.
    warnings : tuple of str
        What was guessed, or could have been meant otherwise.
    """

    output: ir.Value
    logits: ir.Value
    kind: str
    axes: ScoreAxes
    logits_axes: ScoreAxes
    region: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def in_copy(self, twins: dict[ir.Value, ir.Value]) -> ScoreReading:
        """Return the same of a copy of the graph."""
        return replace(self, output=twins[self.output], logits=twins[self.logits])


def read_scores(graph: Graph, output: ir.Value, options: ScoreOptions) -> ScoreReading:
    """Decide how the scores of an output are read.

    Raises
    ------
    BadInput
        What the user says does not fit the scores.
    BadModel
        The sizes of the scores are not known before run time.
    """
    logits, kind, node = find_logits(graph, output)
    order = moved_axes(graph, logits, output)
    known = (1, "the NonMaxSuppression that reads it") if output is suppressed_scores(graph) else None
    softmax = softmax_axis(graph, node)
    behind = order.index(softmax) if order is not None and softmax is not None else None
    axes = find_axes(graph, output, Evidence(options.class_axis, behind, options.labels, known))
    if order is not None:
        logits_axes = _before(axes, order)
    else:
        logits_axes = find_axes(graph, logits, Evidence(None, softmax, options.labels))
    if known is not None and kind == "logits":  # what suppression compares with a threshold
        kind = "sigmoid"
    reading = ScoreReading(output, logits, kind, axes, logits_axes)
    reading = _with_rows(graph, reading, options.class_rows)
    boxes = known is not None or reading.axes.rows is not None
    reading = replace(reading, region=resolved(options.region, reading.axes, graph.dims(output), boxes))
    return replace(reading, notes=(*reading.notes, *_notes(graph, reading)), warnings=_warnings(graph, reading))


def _before(axes: ScoreAxes, order: Sequence[int]) -> ScoreAxes:
    """Return the axes of the logits, of which the output's axis i is the axis order[i]."""
    inverse = [order.index(a) for a in range(len(order))]
    return axes.moved(inverse)


def _with_rows(graph: Graph, reading: ScoreReading, words: str) -> ScoreReading:
    """Find which rows of the class axis are classes: said by the user, or known of a detector's head."""
    axes = reading.axes
    if words:
        size = 1 if axes.classes is None else graph.dims(reading.output)[axes.classes]
        rows = parse_rows(words, size or 1)
        if reading.logits is reading.output or reading.logits_axes.classes is not None:
            logits_axes = replace(reading.logits_axes, rows=rows)
            return replace(reading, axes=replace(axes, rows=rows), logits_axes=logits_axes)
    heads = _heads(graph, reading) if not words and reading.kind == "logits" else []
    if not heads:
        return reading
    found, axes = heads[0]
    axes = replace(axes, rows=(found.first, found.end))
    note = f"{reading.output.name!r} holds boxes: {found.says()} (others: --classes)"
    reading = replace(reading, axes=axes, logits_axes=axes, kind="sigmoid", notes=(note,))
    order = moved_axes(graph, found.joined, reading.output)
    if found.logits is None or order is None:
        return reading
    return replace(reading, logits=found.logits, logits_axes=replace(_before(axes, order), rows=None))


def _heads(graph: Graph, reading: ScoreReading) -> list[tuple[Rows, ScoreAxes]]:
    """Return the axes whose rows are those of a detector's head; where the class axis was guessed they tell it."""
    axes = reading.axes
    tried = [axes]
    if axes.guessed and axes.classes is not None:
        rest = (axes.classes, *axes.places)
        tried = [
            replace(
                axes, classes=a, places=tuple(p for p in rest if p != a), told_by="its rows of boxes", guessed=False
            )
            for a in rest
        ]
    found = ((class_rows(graph, reading.output, one), one) for one in tried)
    return [(rows, one) for rows, one in found if rows is not None]


def parse_rows(words: str, size: int) -> tuple[int, int]:
    """Read FIRST:END, either of which may be left out; size: how many rows there are.

    Raises
    ------
    BadInput
        Anything else, or rows that do not exist.
    """
    first, colon, end = words.partition(":")
    if colon and all(w == "" or w.isdecimal() for w in (first, end)):
        rows = (int(first or 0), int(end or size))
        if rows[0] < rows[1] <= size:
            return rows
    raise BadInput(f"The classes {words!r} are no rows of the scores; write FIRST:END, such as 4:, up to {size}.")


def _notes(graph: Graph, reading: ScoreReading) -> list[str]:
    sizes, axes = graph.dims(reading.output), reading.axes
    if axes.is_plain and not reading.region:
        return []
    words = []
    if axes.sample not in (0, None):
        words.append(f"samples on axis {axes.sample}")
    if axes.classes is not None:
        words.append(f"classes on axis {axes.classes}, told by {axes.told_by}")
    if long := long_places(axes, sizes):
        count = " × ".join(str(sizes[a]) for a in long)
        words.append(f"{count} positions on axis {', '.join(map(str, long))}, of which count: {reading.region}")
    return [f"the scores {reading.output.name!r} have {'; '.join(words)}"] if words else []


def _warnings(graph: Graph, reading: ScoreReading) -> tuple[str, ...]:
    if not reading.axes.guessed:
        return ()
    shape = " × ".join("N" if d is None else str(d) for d in graph.dims(reading.output))
    guess = (
        f"which axis of the scores {reading.output.name!r} ({shape}) holds the classes was guessed from its sizes: "
        f"axis {reading.axes.classes}; say it with --class-axis"
    )
    return (guess,)
