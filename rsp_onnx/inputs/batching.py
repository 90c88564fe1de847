"""Several items as one run: grouped by size, stacked, filled up to a batch size the graph fixes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from rsp_onnx.types import Array

from .tensors import Feeds

Shapes: TypeAlias = "tuple[tuple[str, tuple[int | None, ...]], ...]"


def shapes_of(item: Feeds) -> Shapes:
    """Return the shapes of an item's tensors with the batch left free, by input name; () for a number without axes."""
    return tuple((name, (None, *x.shape[1:]) if x.ndim else ()) for name, x in item.tensors.items())


def _numbers_of(item: Feeds) -> list[bytes]:
    """Return the numbers without axes, which all items of a run share."""
    return [x.tobytes() for x in item.tensors.values() if not x.ndim]


def same_shapes(items: Sequence[Feeds]) -> Iterable[list[Feeds]]:
    """Split into runs of items with equal sizes, so that each run is one batch; the order stays."""
    group: list[Feeds] = []
    for item in items:
        if group and (shapes_of(item), _numbers_of(item)) != (shapes_of(group[0]), _numbers_of(group[0])):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def stacked(items: Sequence[Feeds], batch: int | None) -> Iterable[tuple[dict[str, Array], int]]:
    """Yield feeds and how many of their rows count: all at once, or filled up to a batch size the graph fixes."""
    step = batch or len(items)
    for start in range(0, len(items), step):
        part = list(items[start : start + step])
        filled = part + [part[-1]] * ((batch or len(part)) - len(part))
        yield {name: _together([f.tensors[name] for f in filled]) for name in part[0].tensors}, len(part)


def _together(arrays: Sequence[Array]) -> Array:
    return np.concatenate(arrays) if arrays[0].ndim and len(arrays) > 1 else arrays[0]


def class_arrays(
    targets: Sequence[Sequence[int]], rivals: Sequence[Sequence[Sequence[int]]], size: int
) -> tuple[Array, Array]:
    """Return target [K, N] and hostile [K, N, H] for N = size, filled up with the first target and −1."""
    most = max(len(ts) for ts in targets)
    depth = max((len(h) for hs in rivals for h in hs), default=0)
    target = np.zeros((most, size), np.int64)
    hostile = np.full((most, size, depth), -1, np.int64)
    for n, (ts, hs) in enumerate(zip(targets, rivals, strict=True)):
        target[:, n] = ts[0]
        for k, (t, h) in enumerate(zip(ts, hs, strict=True)):
            target[k, n] = t
            hostile[k, n, : len(h)] = h
    return target, hostile


def portions(counts: Sequence[int], room: int) -> Iterable[list[tuple[int, slice]]]:
    """Split items with so many targets each into runs of at most ``room`` maps: (item, which of its targets).

    A run computes as many maps for each of its items as for the one with the most targets.
    """
    run: list[tuple[int, slice]] = []
    most = 0
    for item, count in enumerate(counts):
        for start in range(0, count, room):
            part = slice(start, min(start + room, count))
            size = max(most, part.stop - part.start)
            if run and size * (len(run) + 1) > room:
                yield run
                run, size = [], part.stop - part.start
            run.append((item, part))
            most = size
    if run:
        yield run
