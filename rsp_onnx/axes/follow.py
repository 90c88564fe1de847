"""Following an axis through the graph: from the layer that put the channels somewhere to the scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import Data, Layout, facts_of
from rsp_onnx.graph.shapes import Dims

Step = tuple[ir.Node, ir.Value, ir.Value]  # a node, what is followed into it, and out of it


def channel_axis(graph: Graph, value: ir.Value) -> int | None:
    """Return the axis of a tensor that holds its channels (features); None where they cannot be followed."""
    steps: list[Step] = []
    node = value.producer()
    while node is not None:
        layout = facts_of(node).layout
        if layout is not Layout.UNKNOWN:
            axis = 1 if layout is Layout.CHANNELS_FIRST else len(graph.dims(value)) - 1
            return _down(graph, steps, axis)
        source = _source(graph, node, value)
        if source is None:
            return None
        steps.append((node, source, value))
        value, node = source, source.producer()
    return None


def moved_axes(graph: Graph, start: ir.Value, end: ir.Value) -> tuple[int, ...] | None:
    """Return per axis of ``end`` which axis of ``start``, a tensor it is a rearrangement of, it is.

    None where axes were split or merged on the way.
    """
    steps: list[Step] = []
    while end is not start:
        node = end.producer()
        source = None if node is None else _source(graph, node, end, start)
        if node is None or source is None:
            return None
        steps.append((node, source, end))
        end = source
    rank = len(graph.dims(start))
    followed = [_down(graph, steps, axis) for axis in range(rank)]
    last = len(graph.dims(steps[0][2])) if steps else rank
    if None in followed or sorted(f for f in followed if f is not None) != list(range(last)):
        return None
    return tuple(followed.index(a) for a in range(last))


def _source(graph: Graph, node: ir.Node, output: ir.Value, start: ir.Value | None = None) -> ir.Value | None:
    """Return the input an output's layout comes from: of several the first that has its rank.

    start: where to follow it to; inputs that are not computed from it do not count.
    """
    active = graph.active_inputs(node)
    if start is not None and len(active) > 1:
        active = [v for v in active if v is start or graph.computed_from(v, start)]
    alike = [v for v in active if graph.dims(v) == graph.dims(output)]
    ranked = [v for v in active if len(graph.dims(v)) == len(graph.dims(output))]
    return next(iter(alike or ranked or active), None)


def _down(graph: Graph, steps: Sequence[Step], axis: int) -> int | None:
    """Follow an axis of the first step's input down to the last output; steps: last one first."""
    here: int | None = axis
    for node, source, output in reversed(steps):
        if here is None:
            return None
        here = _through(node, graph.dims(source), graph.dims(output), here)
    return here


def _through(node: ir.Node, before: Dims, after: Dims, axis: int) -> int | None:
    """Return where an axis stands behind a node; None where it was split, merged or summed up."""
    if node.op_type == "Transpose":
        return cast("list[int]", attribute(node, "perm", list(range(len(before)))[::-1])).index(axis)
    if len(before) == len(after) and (facts_of(node).data is not Data.KEEPS or before == after):
        return axis
    if facts_of(node).data is not Data.KEEPS:
        return None
    return _aligned(before, after, axis)


def _aligned(before: Dims, after: Dims, axis: int) -> int | None:
    """Return the axis behind a reshape that has as many entries, with as many in front of it and behind it."""
    wanted = _split(before, axis)
    fits = [a for a in range(len(after)) if after[a] == before[axis] and _split(after, a) == wanted]
    return fits[0] if len(fits) == 1 else None


def _split(sizes: Dims, axis: int) -> tuple[int, int, int, int]:
    """Return how many entries (and how many free axes) there are before and behind an axis."""
    result = []
    for part in (sizes[:axis], sizes[axis + 1 :]):
        count = 1
        for size in part:
            count *= 1 if size is None else size
        result += [count, sum(d is None for d in part)]
    return result[0], result[1], result[2], result[3]
