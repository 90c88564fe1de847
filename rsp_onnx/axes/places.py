"""Where the entries of a tensor lie in the input: coordinates carried forward through the graph.

Instead of values every tensor holds, along one axis of the input, the place its entries come from. Ops that move
entries move places, windows take the middle of theirs, layers over channels and all that works entry by entry keep
them, attention keeps those of its queries, and what comes from no place (class tokens) has none, NaN. So tokens find
back to their grid through windows, rolls and mergings, whatever their order.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import convert_attributes

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.fold import fold_node
from rsp_onnx.graph.nodes import attributes, subgraphs
from rsp_onnx.graph.op_facts import Data, Layout, Role, facts_of, is_layer
from rsp_onnx.layout import channels_last

_WINDOW = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode")


def grid_of(
    graph: Graph, value: ir.Value, places: Sequence[int], image: ir.Value
) -> tuple[np.ndarray, list[int]] | None:
    """Return which entries along the axes of positions lie where: (index of each cell, sizes of the grid).

    Parameters
    ----------
    value : onnx_ir.Value
        A tensor behind the image.
    places : sequence of int
        Its axes of positions, in order; their entries are counted in that order, the last axis first.
    image : onnx_ir.Value
        An input [N, C, ...] or, channels last, [N, ..., C].

    Returns
    -------
    tuple or None
        int64 [cells], row by row, and the sizes; None where the entries with a place form no full grid.
    """
    known: dict[ir.Node, list[np.ndarray | None]] = {}
    found = [_along(graph, value, places, image, axis, known) for axis in _spatial(graph, image)]
    if not found or any(f is None for f in found):
        return None
    coordinates = np.stack([f for f in found if f is not None])  # [axes, entries]
    here = np.flatnonzero(np.isfinite(coordinates).all(0))
    ranks = [np.unique(np.round(c[here], 3), return_inverse=True) for c in coordinates]
    sizes = [len(unique) for unique, _ in ranks]
    if not here.size or np.prod(sizes) != here.size:
        return None
    cells = np.ravel_multi_index([inverse for _, inverse in ranks], sizes)
    index = np.full(here.size, -1, np.int64)
    index[cells] = here
    return None if (index < 0).any() else (index, sizes)


def _spatial(graph: Graph, image: ir.Value) -> list[int]:
    """Return the spatial axes of an image: behind the channels, or between batch and channels."""
    rank = len(graph.dims(image))
    return list(range(1, rank - 1)) if channels_last(graph.dims(image)) else list(range(2, rank))


def _along(
    graph: Graph, value: ir.Value, places: Sequence[int], image: ir.Value, axis: int,
    known: dict[ir.Node, list[np.ndarray | None]],
) -> np.ndarray | None:  # fmt: skip
    """Return the place of every entry along one axis of the image, the mean over all axes that hold no positions.

    known: what does not depend on the image, the same for every axis.
    """
    sizes = [d or 1 for d in graph.dims(image)]
    steps = np.arange(sizes[axis], dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(len(sizes))])
    carried = _Carried(graph, {image: np.broadcast_to(steps, sizes)}, known)
    result = carried.through(value)
    if result is None:
        return None
    others = tuple(a for a in range(result.ndim) if a not in places)
    return _mean(result, others).reshape(-1)


def _mean(x: np.ndarray, axes: tuple[int, ...], keepdims: bool = False) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mean of nothing is NaN, which is what we want to know
        return np.asarray(np.nanmean(x, axis=axes, keepdims=keepdims))


class _Carried:
    """Coordinates, carried through the graph node by node; what does not depend on the image is computed as it is."""

    def __init__(
        self, graph: Graph, start: dict[ir.Value, np.ndarray], known: dict[ir.Node, list[np.ndarray | None]]
    ) -> None:
        self._graph, self._at, self._known = graph, dict(start), known
        self._opsets = graph.model.graph.opset_imports

    def through(self, end: ir.Value) -> np.ndarray | None:
        """Return the coordinates at a tensor; None where they cannot be carried there."""
        for node in self._graph.above(end):
            results = None if subgraphs(node) else self._node(node)
            if results is None:
                sizes = [self._sizes(v) for v in node.outputs]
                results = [None if s is None else np.full(s, np.nan, np.float32) for s in sizes]
            for output, result in zip(node.outputs, results, strict=False):
                if result is not None:
                    self._at[output] = result
        return self._at.get(end)

    def _sizes(self, value: ir.Value) -> list[int] | None:
        sizes = self._graph.dims(value)
        return None if value.shape is None or None in sizes[1:] else [d or 1 for d in sizes]

    def _array(self, value: ir.Value | None) -> np.ndarray | None:
        if value is None:
            return None
        return self._at[value] if value in self._at else self._graph.constant(value)

    def _node(self, node: ir.Node) -> list[np.ndarray | None] | None:
        """Return the coordinates of a node's outputs; None where it has none."""
        active = [i for i, v in enumerate(node.inputs) if self._graph.active(v)]
        arrays = [self._array(v) for v in node.inputs]
        facts = facts_of(node)
        if not active or node not in self._graph.dag:
            if node not in self._known:
                self._known[node] = fold_node(node, self._opsets, arrays, runtime_first=True)
            return self._known[node]
        if any(arrays[i] is None for i in active):
            return None
        if facts.moves and facts.data is not Data.SELECTS and facts.data is not Data.QUANTISES:
            return self._moved(node, active, arrays)
        first = arrays[active[0]]
        assert first is not None
        if facts.role is Role.POOL and facts.layout is Layout.UNKNOWN:
            return [self._half_way(node, arrays)]
        if is_layer(node) or facts.role is Role.POOL:
            return [self._layer(node, first)]
        return [self._entrywise([a for i, a in enumerate(arrays) if i in active], self._sizes(node.outputs[0]))]

    def _moved(
        self, node: ir.Node, active: list[int], arrays: list[np.ndarray | None]
    ) -> list[np.ndarray | None] | None:
        """Move places as the op moves values; what is put in beside them has none."""
        wide = [a if i not in active or a is None else a.astype(np.float32) for i, a in enumerate(arrays)]
        if facts_of(node).data is Data.JOINS:
            floats = (a is not None and a.dtype.kind == "f" for a in wide)
            wide = [np.full_like(a, np.nan) if f and i not in active else a
                    for i, (a, f) in enumerate(zip(wide, floats, strict=True))]  # fmt: skip
        results = fold_node(node, self._opsets, wide, runtime_first=True)
        if facts_of(node).data is Data.PADS:
            ones = [np.ones_like(a) if i in active and a is not None else a for i, a in enumerate(wide)]
            inside = fold_node(node, self._opsets, ones, runtime_first=True)
            results = [None if r is None or m is None else np.where(m == 1, r, np.nan).astype(np.float32)
                       for r, m in zip(results, inside, strict=True)]  # fmt: skip
        return results

    def _layer(self, node: ir.Node, x: np.ndarray) -> np.ndarray | None:
        """Take the middle of each window, the same for all channels; behind channels that stand last keep the place."""
        sizes, facts = self._sizes(node.outputs[0]), facts_of(node)
        if sizes is None:
            return None
        if facts.layout is not Layout.CHANNELS_FIRST:
            same = facts.layout is Layout.CHANNELS_LAST and len(sizes) == x.ndim and sizes[:-1] == list(x.shape[:-1])
            return np.broadcast_to(_mean(x, (-1,), keepdims=True), sizes) if same else None
        one = _mean(x, (1,), keepdims=True)
        return np.broadcast_to(self._middle(node, one, sizes), sizes)

    def _middle(self, node: ir.Node, x: np.ndarray, sizes: list[int]) -> np.ndarray:
        """Return [N, 1, *places] of the output: half way between the least and the largest place of each window."""
        if list(x.shape[2:]) == sizes[2:]:
            return x
        weight = None if facts_of(node).weight is None else node.inputs[facts_of(node).weight or 0]
        kernel = () if weight is None else self._graph.dims(weight)[2:]
        window = {name: value for name, value in attributes(node).items() if name in _WINDOW}
        if kernel:
            window.setdefault("kernel_shape", list(kernel))
        if "kernel_shape" in window:
            pool = ir.Node("", "MaxPool", [None], convert_attributes(window), name="middle")
            pool.outputs[0].name = "y"
            middle = self._half_way(pool, [x])
            if middle is not None and list(middle.shape[2:]) == sizes[2:]:
                return middle
        return _stretched(x, sizes[2:])

    def _half_way(self, node: ir.Node, arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Return the middle between the least and the largest place a maximum (or a mean) is taken of."""
        first, *rest = arrays
        if first is None:
            return None
        ends = [fold_node(node, self._opsets, [s * first, *rest], runtime_first=True)[0] for s in (1, -1)]
        return None if ends[0] is None or ends[1] is None else np.asarray((ends[0] - ends[1]) / 2)

    @staticmethod
    def _entrywise(arrays: Sequence[np.ndarray | None], sizes: list[int] | None) -> np.ndarray | None:
        """Return the mean of the places that are known; operands that are spread over all places do not count."""
        if sizes is None:
            return None
        full = [a for a in arrays if a is not None and list(a.shape) == sizes]
        wide = full or [np.broadcast_to(a, sizes) for a in arrays if a is not None and _fits(a.shape, sizes)]
        return _mean(np.stack(wide), (0,)) if wide else None


def _fits(shape: tuple[int, ...], sizes: list[int]) -> bool:
    behind = zip(shape[::-1], sizes[::-1], strict=False)
    return len(shape) <= len(sizes) and all(a in (1, b) for a, b in behind)


def _stretched(x: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return [N, 1, *sizes]: places read off between neighbours, as by an enlargement (transposed convolutions)."""
    for axis, size in enumerate(sizes, 2):
        at = np.clip((np.arange(size) + 0.5) * x.shape[axis] / size - 0.5, 0, x.shape[axis] - 1)
        low, high = np.floor(at).astype(int), np.ceil(at).astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x
