"""Detectors: which rows of their output are box coordinates and which are classes, and where the scores are.

Known for what they are: heads that concatenate coordinates with class probabilities (YOLOv5 to YOLO11), outputs that
hold four coordinates beside another that holds the scores (SSD, RetinaNet, DETR), and NonMaxSuppression in the graph,
which says itself what it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import attribute, input_at
from rsp_onnx.graph.op_facts import Data, facts_of

from .axes import ScoreAxes

_COORDINATES = 4


@dataclass(frozen=True)
class Rows:
    """Where the classes are among the rows of a detector's output.

    Attributes
    ----------
    first, end : int
        The first class, and the row behind the last.
    objectness : bool
        The row before the first says whether there is anything at all.
    joined : onnx_ir.Value
        The tensor the rows were put together in.
    logits : onnx_ir.Value, optional
        What the class rows of that are before their sigmoid; None where that is no tensor of its own.
    """

    first: int
    end: int
    objectness: bool
    joined: ir.Value
    logits: ir.Value | None = None

    def says(self) -> str:
        """Return what the rows are, in words."""
        rest = f" and row {self.first - 1} objectness" if self.objectness else ""
        return f"rows 0 to {_COORDINATES - 1} are box coordinates{rest}, rows {self.first} to {self.end - 1} classes"


def class_rows(graph: Graph, value: ir.Value, axes: ScoreAxes) -> Rows | None:
    """Return which rows of the class axis are classes where the others are the coordinates of a box; None elsewhere."""
    if axes.classes is None or len(axes.places) != 1 or graph.dims(value)[axes.places[0]] in (None, 1):
        return None
    joined = _joined(graph, value, graph.dims(value)[axes.classes])
    if joined is None:
        return None
    whole, parts, axis = joined
    sizes = [graph.dims(v)[axis] or 0 for v in parts]
    *before, last = [_sigmoid_above(graph, v) for v in parts]
    if last is None or sum(sizes[:-1]) != _COORDINATES:
        return None
    sigmoid, direct = last
    end = sum(sizes)
    if direct and all(b is None for b in before):
        alone = tuple(sizes[-1] if a == axis else d for a, d in enumerate(graph.dims(whole)))
        logits = sigmoid.inputs[0]
        return Rows(_COORDINATES, end, False, whole, logits if logits and graph.dims(logits) == alone else None)
    objectness = sizes[-1] > 1  # one sigmoid over all rows, which are then cut apart
    return Rows(_COORDINATES + objectness, end, objectness, whole)


def _joined(graph: Graph, value: ir.Value, rows: int | None) -> tuple[ir.Value, list[ir.Value], int] | None:
    """Return the tensor a tensor's rows were put together in, its parts, and the axis they were joined on."""
    node = value.producer()
    while node is not None:
        axis = attribute(node, "axis")
        if facts_of(node).data is Data.JOINS and isinstance(axis, int) and len(node.inputs) > 1:
            axis %= len(graph.dims(node.outputs[0]))
            if graph.dims(node.outputs[0])[axis] == rows:
                return node.outputs[0], [v for v in node.inputs if v is not None], axis
        active = graph.active_inputs(node)
        if not active or not (facts_of(node).neutral or facts_of(node).data is Data.JOINS):
            return None
        node = active[0].producer()
    return None


def _sigmoid_above(graph: Graph, value: ir.Value) -> tuple[ir.Node, bool] | None:
    """Return the sigmoid a part comes out of, and whether all of it is the part; None where something else made it."""
    node, direct = value.producer(), True
    while node is not None:
        facts = facts_of(node)
        if facts.score_kind == "sigmoid":
            return node, direct
        if not facts.neutral and facts.data not in (Data.PICKS, Data.CROPS):
            return None
        direct = direct and facts.neutral
        active = graph.active_inputs(node)
        node = active[0].producer() if active else None
    return None


def suppressed_scores(graph: Graph) -> ir.Value | None:
    """Return the scores a NonMaxSuppression in the graph reads, [N, classes, boxes]; None without one."""
    nodes = [node for node in graph.nodes if node.op_type == "NonMaxSuppression"]
    scores = input_at(nodes[0], 1) if nodes else None
    return scores if graph.active(scores) else None


def are_coordinates(graph: Graph, value: ir.Value, others: Sequence[ir.Value]) -> bool:
    """Tell of an output of four numbers per box beside another that has something else for the same boxes."""
    sizes = graph.dims(value)
    if len(sizes) < 3 or sizes[-1] != _COORDINATES:
        return False
    return any(graph.dims(v)[:-1] == sizes[:-1] and graph.dims(v)[-1] != _COORDINATES for v in others)
