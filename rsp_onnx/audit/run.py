"""The search for Clever Hans: what the maps of a class have in common, and whether it is the object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.errors import BadInput, RspError
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.datasets.shifts import refuse_shifted, spread
from rsp_onnx.evaluate.runs.settings import class_count
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.inputs.classes import Choice
from rsp_onnx.inputs.labels import find_class, label_of
from rsp_onnx.types import Array, Progress, Record

from .clusters import Clusters, find_clusters
from .flags import describe, reasons
from .maps import KeptMap, Stream
from .report import write_audit

LEAST = 8  # maps of a class below which it is not clustered


def audit(
    model: str | Path, data: str | Path, *, format: str, split: str | None = None, mapping: str | Path | None = None,
    labels: str | Path | None = None, classes: Sequence[str] = (), limit: int | None = None, seed: int = 0,
    cells: int = 16, method: str = "rsp", hostile: Choice = "auto", preprocess: str | None = None,
    device: str = "auto", threads: int | None = None, out: str | Path | None = None, report: bool = True,
    pictures: int = 11, progress: Progress | None = None, **explainer: Any,
) -> Record:  # fmt: skip
    """Cluster the maps of each class of a dataset and flag clusters that look at something else than the object.

    One photo at a time is explained and only a grid of ``cells`` × ``cells`` numbers of each map is kept, so that
    memory grows by a kilobyte per map.

    Parameters
    ----------
    model, data, format, split, mapping, labels
        As ``evaluate`` takes them.
    classes : sequence of str
        Only these classes, by label or index; default: all in the data.
    limit : int, optional
        At most that many photos, drawn by ``seed``.
    cells : int
        Rows and columns of the grid, at least 8.
    pictures : int
        Members of a cluster on its contact sheet.
    explainer
        Further arguments of ``Explainer``: output, class_axis, class_rows, region, input_shapes.

    Returns
    -------
    dict
        ``classes`` (with their ``clusters``), ``suspicious`` (how many clusters), ``counts``, ...

    Raises
    ------
    BadInput
        scikit-learn is not installed, the dataset cannot be read, or no class has enough maps.
    """
    if cells < 8:
        raise BadInput(f"A grid of {cells}×{cells} cells says too little of a place: give 8 or more.")
    maker = Explainer(
        model, labels=labels, preprocess=preprocess, method=method, device=device, threads=threads, **explainer
    )
    count = class_count(maker)
    dataset = open_dataset(format, data, split=split, mapping=mapping, names=maker.labels, classes=count)
    stream = Stream(maker, dataset, cells, hostile, _wanted(classes, maker, dataset.names))
    order = _order(len(dataset), limit, seed)
    if mapping is None:
        _check_classes(stream, order)
    maps = _maps(stream, order, progress)
    summary = _summary(stream, maps, seed)
    summary |= {"data": str(data), "format": format, "seed": seed, "limit": limit, "cells": cells}
    if out is not None:
        write_audit(stream, maps, summary, Path(out), pictures, report)
    return summary


def _check_classes(stream: Stream, indices: Sequence[int]) -> None:
    seen = []
    for index in spread(indices):
        try:
            item = stream.dataset[index]
            seen.append((item.targets, int(np.argmax(stream.explainer.scores(item.image)))))
        except RspError:
            continue  # told when it is explained
    refuse_shifted(seen, stream.dataset.names or stream.explainer.labels)


def _maps(stream: Stream, indices: Sequence[int], progress: Progress | None) -> list[KeptMap]:
    maps: list[KeptMap] = []
    for done, index in enumerate(indices, 1):
        maps += stream.each(index)
        if progress is not None:
            progress(done, len(indices))
    return maps


def _wanted(classes: Sequence[str], explainer: Explainer, names: Sequence[str] | None) -> frozenset[int] | None:
    known = explainer.labels or names
    count = class_count(explainer) or len(known or ())
    return frozenset(find_class(word, known, count) for word in classes) or None


def _order(size: int, limit: int | None, seed: int) -> list[int]:
    if limit is None or limit >= size:
        return list(range(size))
    return sorted(int(i) for i in np.random.default_rng(seed).permutation(size)[:limit])


def _summary(stream: Stream, maps: Sequence[KeptMap], seed: int) -> Record:
    targets = sorted({m.target for m in maps})
    enough = [t for t in targets if sum(m.target == t for m in maps) >= LEAST]
    if not enough:
        first = f" The first problem: {stream.broken[0][1]}" if stream.broken else ""
        raise BadInput(f"No class has {LEAST} maps or more, too few to find groups in: give more photos.{first}")
    classes = [_class(stream, maps, target, seed) for target in enough]
    explainer = stream.explainer
    return {
        "model": str(explainer.facts.path) if explainer.facts.path else None, "sha256": explainer.facts.sha256,
        "method": explainer.method,
        "suspicious": sum(cluster["suspicious"] for one in classes for cluster in one["clusters"]),
        "classes": classes,
        "few": [_name(stream, t) for t in targets if t not in enough],
        "counts": {"maps": len(maps), "empty": stream.empty, "broken": len(stream.broken)},
        "broken": [{"item": key, "error": error} for key, error in stream.broken],
    }  # fmt: skip


def _name(stream: Stream, target: int) -> str:
    return label_of(target, stream.explainer.labels or stream.dataset.names)


def _class(stream: Stream, maps: Sequence[KeptMap], target: int, seed: int) -> Record:
    """Cluster one class's maps; members are places in ``maps``."""
    places = [i for i, m in enumerate(maps) if m.target == target]
    grids = np.stack([maps[i].grid for i in places])
    rest = [m.grid for m in maps if m.target != target]
    others = np.stack(rest) if rest else np.zeros((0, *grids.shape[1:]), np.float32)
    clusters = find_clusters(grids, seed)
    records = [_cluster(c, clusters, grids, others, [maps[i] for i in places], places) for c in range(clusters.count)]
    return {
        "target": target, "label": _name(stream, target), "maps": len(places),
        "eigenvalues": [round(float(v), 6) for v in clusters.eigenvalues[:10]], "clusters": records,
    }  # fmt: skip


def _cluster(
    number: int, clusters: Clusters, grids: Array, others: Array, maps: Sequence[KeptMap], places: Sequence[int]
) -> Record:
    members = clusters.nearest_to_middle(number)
    own = grids[members]
    about = describe(own, [maps[i].inside for i in members], [maps[i].text for i in members])
    farness = clusters.farness(number)
    why = reasons(own, grids, others, about, farness, clusters.count == 1)
    return {
        "number": number + 1, "maps": len(members), "share": len(members) / len(maps), **about,
        "farness": round(farness, 6), "score": float(np.median([maps[i].score for i in members])),
        "suspicious": bool(why), "reasons": why, "members": [places[i] for i in members],
        "items": [maps[i].key for i in members],
    }  # fmt: skip
