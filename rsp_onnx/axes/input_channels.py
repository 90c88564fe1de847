"""Which axis of an input holds its channels, told by the first layer that reads it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import Layout, Role, facts_of
from rsp_onnx.graph.shapes import Dims
from rsp_onnx.layout import NO_CHANNELS

_FARTHEST = 50  # nodes that are followed


def input_channels(graph: Graph, value: ir.Value) -> int | None:
    """Return the axis of an input's channels (features, what was measured); None where no layer tells.

    ``NO_CHANNELS`` where the layer's channels are an axis that the model puts in itself, as in front of a gray image.
    """
    sizes = graph.dims(value)
    found = _told(graph, value, list(range(len(sizes))), _FARTHEST)
    if found == NO_CHANNELS and 1 in sizes[1:]:
        return None  # one channel among them cannot be told from one that was put in
    return found


def _told(graph: Graph, value: ir.Value, axes: Sequence[int | None], steps: int) -> int | None:
    """axes: where each axis of this tensor stood in the input; None for one that was not there."""
    for node in graph.consumers(value) if steps else ():
        facts = facts_of(node)
        if facts.layout is not Layout.UNKNOWN:
            place = 1 if facts.layout is Layout.CHANNELS_FIRST else len(axes) - 1
            if place < len(axes):
                found = axes[place]
                return NO_CHANNELS if found is None else found
            continue
        passes = facts.moves or facts.role in (Role.ARITHMETIC, Role.ACTIVATION)
        behind = _behind(graph, node, value, axes) if passes else None
        found = None if behind is None else _told(graph, node.outputs[0], behind, steps - 1)
        if found is not None:
            return found
    return None


def _behind(graph: Graph, node: ir.Node, value: ir.Value, axes: Sequence[int | None]) -> list[int | None] | None:
    """Return where the axes stand behind a node; None where that is not known."""
    before, after = graph.dims(value), graph.dims(node.outputs[0])
    if node.op_type == "Transpose":
        perm = node.attributes.get_ints("perm", [])
        return [axes[p] for p in perm] if len(perm) == len(axes) else None
    if len(before) == len(after):
        same = facts_of(node).moves or all(a == b for a, b in zip(before, after, strict=True))
        return list(axes) if same and not _reshaped(node, before, after) else None
    kept = [(size, axis) for size, axis in zip(before, axes, strict=True) if size != 1]
    sizes = [size for size in after if size != 1]
    if [size for size, _ in kept] != sizes:
        return None
    places = iter(axis for _, axis in kept)
    return [None if size == 1 else next(places) for size in after]


def _reshaped(node: ir.Node, before: Dims, after: Dims) -> bool:
    """Tell of a node that keeps the entries and the rank, but cuts them up another way."""
    return facts_of(node).neutral and list(before) != list(after)
