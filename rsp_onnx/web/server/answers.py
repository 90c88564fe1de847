"""From explanations to what the page draws: scores, maps, and the sums of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.classes import probabilities
from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.types import Array
from rsp_onnx.web.frames import Arrays, frame


def answer_frame(
    explained: Sequence[Explanation], *, layers: Sequence[str], channels: Mapping[str, tuple[int, int]],
    missing: Sequence[str], ledger: bool, milliseconds: float,
) -> bytes:  # fmt: skip
    """Return the frame with ``Answer`` of the page.

    Parameters
    ----------
    explained : sequence of Explanation
        Of one item, one per target.
    layers, missing : sequence of str
        Tensors whose maps were asked for and computed; those that the method has no map of.
    channels : mapping
        By tensor, the axis of its channels and its rank, the batch counted.
    """
    arrays, first = Arrays(), explained[0]
    chances = _probabilities(first)
    said = [f"{first.method} brings no relevance to {name!r}, so that there is no map of it" for name in missing]
    answer = {
        "scores": arrays.put(first.scores),
        "probabilities": None if chances is None else arrays.put(chances),
        "explained": [_explained(one, arrays, layers, channels, ledger, said) for one in explained],
        "geometry": _geometry(first.geometry), "method": first.method, "provider": first.provider,
        "milliseconds": milliseconds,
    }  # fmt: skip
    return frame({"answer": answer}, arrays.held)


def _explained(
    one: Explanation, arrays: Arrays, layers: Sequence[str], channels: Mapping[str, tuple[int, int]], ledger: bool,
    said: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    maps = {name: layer_map(one.relevances[name], *channels[name]) for name in layers}
    notes = [note for name, laid in maps.items() if (note := _of_axes(name, one.relevances[name], laid))]
    return {
        "target": one.target, "hostile": list(one.hostile), "heatmap": arrays.shaped(one.heatmap),
        "relevance": arrays.shaped(one.relevance),
        "input": None if one.photo is not None or one.tensor is None else arrays.shaped(one.tensor),
        "layers": {name: arrays.shaped(laid) for name, laid in maps.items()},
        "ledger": [{"tensor": name, "sum": total} for name, total in one.ledger.items()] if ledger else [],
        "warnings": [*one.warnings, *said, *notes],
    }  # fmt: skip


def _of_axes(name: str, relevance: Array, laid: Array) -> str:
    """Say of a layer's map where it is none over a picture or a line of positions."""
    if laid.ndim > 2:
        return f"the map of {name!r} has {laid.ndim} axes, {'beside' if laid is not relevance else 'with'} its channels"
    return f"{name!r} has no positions, so that its map is as it is" if laid is relevance else ""


def layer_map(relevance: Array, channel_axis: int, rank: int) -> Array:
    """Return a layer's relevance, one sample's, summed over its channels: [C, H, W] as [H, W], [T, C] as [T].

    What has one axis or none stays as it is. rank: of the tensor in the graph, whose first axis is the batch unless the
    relevance has as many axes.
    """
    axis = channel_axis - (rank - relevance.ndim)
    if relevance.ndim < 2 or not 0 <= axis < relevance.ndim:
        return relevance
    return np.asarray(relevance.sum(axis=axis, dtype=np.float64), np.float32)


def _probabilities(one: Explanation) -> Array | None:
    if one.probability is None:
        return None
    return np.asarray(probabilities(one.scores.astype(np.float64), one.kind), np.float32)


def _geometry(geometry: Geometry | None) -> dict[str, Any] | None:
    if geometry is None:
        return None
    return {"original": list(geometry.original), "tensor": list(geometry.tensor), "box": list(geometry.box)}
