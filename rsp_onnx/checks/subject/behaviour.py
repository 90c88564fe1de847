"""Does the map depend on the model, and does it stay where it is when the photo hardly changes? By further runs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from PIL import Image

from rsp_onnx.errors import RspError
from rsp_onnx.evaluate.metrics.randomise import randomised, weight_layers
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array

from .goldens import MOST
from .similarity import coarse, pearson, spearman
from .subject import Shot, Subject

SANE, STABLE = 8, 3  # the first images; each costs further runs
SEED = 0
NOISE = 0.01  # standard deviation, of the tensor's range
SHIFT = 2  # pixels of the model's input, right and down
QUALITY = 90


@dataclass(frozen=True)
class Reaction:
    """How alike the map of a changed model or photo is."""

    shot: Shot
    what: str
    value: float


def last_layer_randomised(subject: Subject) -> list[Reaction]:
    """Return |Spearman| of the maps before and after the last layer's weights are drawn anew, per image.

    A map turned upside down has not changed by this measure: it still marks the same pixels. A map that becomes
    constant, or scores that overflow, are change enough and count 0.
    """
    shots = subject.shots[:SANE]
    proto = ir.to_proto(subject.explainer.model.ir)
    layers = weight_layers(proto)[-1:]
    if not layers:
        return []
    try:
        # gets tensors, so preprocessing does not matter; nobody will ask for random weights again
        changed = subject.make(randomised(proto, layers, SEED), cache=False)
        after = _explained(changed.explain_each, shots, [s.feeds for s in shots])
        values = [abs(spearman(_seen(s.explanation), _seen(new))) for s, new in zip(shots, after, strict=True)]
    except RspError:
        values = [0.0] * len(shots)
    return [Reaction(shot, "random weights", value) for shot, value in zip(shots, values, strict=True)]


def little_changes(subject: Subject) -> list[Reaction]:
    """Return the correlation of the map with those of the photo with noise, shifted, and stored as JPEG again."""
    shots = subject.shots[:STABLE]
    changes: dict[str, Callable[[Shot], Feeds | None]] = {
        "noise": lambda shot: _mapped(shot.feeds, _noisy),
        "shift": lambda shot: _shifted(subject, shot),
        "JPEG": lambda shot: _jpeg(subject, shot),
    }
    reactions: list[Reaction] = []
    for what, change in changes.items():
        pairs = [(shot, feeds) for shot in shots if (feeds := change(shot)) is not None]
        after = _explained(subject.explainer.explain_each, [s for s, _ in pairs], [f for _, f in pairs])
        reactions += [
            Reaction(shot, what, _alike(shot.explanation.heatmap, new.heatmap, SHIFT if what == "shift" else 0))
            for (shot, _), new in zip(pairs, after, strict=True)
        ]
    return reactions


def _explained(explain: Any, shots: Sequence[Shot], feeds: Sequence[Feeds]) -> list[Explanation]:
    if not shots:
        return []
    asked = [s.explanation for s in shots]
    return [one[0] for one in explain(feeds, [[e.target] for e in asked], [[list(e.hostile)] for e in asked])]


def _seen(explanation: Explanation) -> Array:
    return coarse(explanation.heatmap, MOST)


def _alike(before: Array, after: Array, shift: int) -> float:
    """Return Pearson's correlation of maps, a shifted one moved back, without the border that moved in."""
    if shift:
        edge = slice(shift, -shift)
        before, after = before[edge, edge], np.roll(after, (-shift, -shift), (0, 1))[edge, edge]
    return pearson(coarse(before, MOST), coarse(after, MOST))


def _mapped(feeds: Feeds, change: Callable[[Array], Array]) -> Feeds:
    return replace(feeds, tensors={name: change(x) for name, x in feeds.tensors.items()})


def _noisy(tensor: Array) -> Array:
    """Add seeded noise; the values stay in their range and type. Whole numbers that are no pixels stay as they are."""
    if tensor.dtype.kind not in "fiu" or tensor.dtype.itemsize > 4:
        return tensor
    exact = tensor.astype(np.float64)
    low, high = float(exact.min()), float(exact.max())
    noise = np.random.default_rng(0).normal(0, NOISE * (high - low), tensor.shape)
    changed = np.clip(exact + noise, low, high)
    return np.asarray((np.round(changed) if tensor.dtype.kind in "iu" else changed).astype(tensor.dtype))


def _shifted(subject: Subject, shot: Shot) -> Feeds | None:
    if shot.feeds.photo is None or min(shot.explanation.heatmap.shape) <= 4 * SHIFT:
        return None
    layout = subject.explainer.signatures[0].layout()
    rows, columns = layout.index("H"), layout.index("W")

    def move(tensor: Array) -> Array:
        for axis in (rows, columns):
            kept = np.take(tensor, range(tensor.shape[axis] - SHIFT), axis)
            edge = np.take(tensor, [0] * SHIFT, axis)
            tensor = np.concatenate([edge, kept], axis)
        return np.ascontiguousarray(tensor)

    return _mapped(shot.feeds, move)


def _jpeg(subject: Subject, shot: Shot) -> Feeds | None:
    if shot.feeds.photo is None:
        return None
    data = io.BytesIO()
    shot.feeds.photo.save(data, "JPEG", quality=QUALITY)
    return subject.explainer.prepare(Image.open(io.BytesIO(data.getvalue())))
