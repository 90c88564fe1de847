"""Assertions of the pytest plugin: a map against a golden one, and where its relevance lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.checks.catalogue.base import CHECKS
from rsp_onnx.checks.spec.places import mask_pixels
from rsp_onnx.checks.subject.goldens import Golden, Goldens, keep_scores, pack, read_goldens, save_goldens
from rsp_onnx.checks.subject.similarity import SIMILARITIES, similarities
from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.datasets.annotated import Item, Thing
from rsp_onnx.evaluate.datasets.photo_file import read_indices
from rsp_onnx.evaluate.metrics.localisation import share as share_of
from rsp_onnx.evaluate.metrics.protocol import Truth
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.files import make_folder, save_png
from rsp_onnx.inputs.classes import probabilities
from rsp_onnx.render.side_by_side import side_by_side
from rsp_onnx.types import Array
from rsp_onnx.version import __version__

_SIGNS = dict.fromkeys(SIMILARITIES, "<") | {"scores": ">"}


def golden_of(explanation: Explanation) -> Golden:
    """Return an explanation as it is recorded."""
    classes, scores = keep_scores(_chances(explanation.scores))
    facts = {
        "name": "", "target": explanation.target, "target_label": explanation.label, "predicted": explanation.predicted,
        "hostile": list(explanation.hostile), "method": explanation.method,
    }  # fmt: skip
    return Golden(facts, scores, classes, pack(explanation.heatmap))


def write_golden(path: Path, explanation: Explanation) -> None:
    """Write an explanation as a golden file, its folder with it."""
    make_folder(path.parent)
    save_goldens(path, Goldens({"rsp_onnx": __version__}, (golden_of(explanation),)))


def read_golden(path: Path) -> Golden:
    """Read a golden file; BadInput where it is none."""
    images = read_goldens(path).images
    if len(images) != 1:
        raise BadInput(
            f"{path} holds the goldens of {len(images)} images, not of one: check those with `rsp-onnx check`."
        )
    return images[0]


def _chances(scores: Array) -> Array:
    """Return scores as probabilities; what lies between 0 and 1 is some already."""
    return scores if scores.min() >= 0 and scores.max() <= 1 else probabilities(scores, "logits")


def differences(explanation: Explanation, golden: Golden, limits: dict[str, float]) -> list[str]:
    """Return what does not hold, in words; empty where the explanations are close.

    limits: by name (``scores``, ``spearman``, ``pearson``, ``ssim``, ``top-k``, ``sign``); others keep their default.
    """
    asked = [(explanation.target, golden.facts["target"]), (list(explanation.hostile), golden.facts["hostile"])]
    for what, (now, before) in zip(("class", "hostile classes"), asked, strict=True):
        if now != before:
            return [f"it explains {what} {now}, the golden map {what} {before}"]
    now_packed = pack(explanation.heatmap)
    if now_packed.pixels.shape != golden.map.pixels.shape:
        return [f"the maps differ in size: {now_packed.pixels.shape} and {golden.map.pixels.shape}"]
    now_scores = _chances(explanation.scores)
    if golden.classes.max() >= now_scores.size:
        return [f"the model has {now_scores.size} classes, fewer than the golden one"]
    values = similarities(now_packed.map, golden.map.map)
    values["scores"] = float(np.abs(now_scores[golden.classes] - golden.scores).max())
    bounds = {name: limits.get(name, CHECKS[name].default) for name in values}
    return [
        f"{name} {value:.4g} {_SIGNS[name]} {bounds[name]:g}"
        for name, value in sorted(values.items())
        if (value > bounds[name] if name == "scores" else value < bounds[name])  # type: ignore[operator]
    ]


def draw_pair(folder: Path, name: str, explanation: Explanation, golden: Golden) -> Path:
    """Write a picture of photo, golden map and map now; return its path."""
    picture = side_by_side(golden.map.map, pack(explanation.heatmap).map, explanation.photo, title=explanation.label)
    return _saved(folder, name, picture)


def region_of(explanation: Explanation, where: Any) -> Array:
    """Return a box, several, a mask or a mask's file as bool [H, W] on the upright photo (without one: on the map)."""
    height, width = explanation.heatmap_original.shape
    if isinstance(where, (str, Path)):
        return mask_pixels(read_indices(Path(where), (width, height)), Path(where), explanation.target)
    values = np.asarray(where)
    if values.dtype == bool:
        if values.shape != (height, width):
            raise BadInput(f"The mask has {values.shape} pixels, but the photo {(height, width)}.")
        return values
    if values.ndim not in (1, 2) or values.shape[-1] != 4:
        raise BadInput("Give a box [xmin, ymin, xmax, ymax], several of them, a bool mask, or a PNG's path.")
    boxes: Sequence[Sequence[float]] = np.atleast_2d(values).astype(float).tolist()
    things = tuple(Thing(0, (b[0], b[1], b[2], b[3])) for b in boxes)
    inside = Truth(Item("", Path(), things), 0, (width, height)).boxes
    assert inside is not None
    return inside


def share_in(explanation: Explanation, region: Array) -> float:
    """Return the share of the positive relevance in a region."""
    return share_of(explanation.heatmap_original, region)


def draw_region(folder: Path, name: str, explanation: Explanation, region: Array) -> Path:
    """Write a picture of photo, region and map; return its path."""
    names = ("where it should be", "relevance")
    picture = side_by_side(
        region.astype(float), explanation.heatmap_original, explanation.photo, explanation.label, names
    )
    return _saved(folder, name, picture)


def _saved(folder: Path, name: str, picture: Any) -> Path:
    path = make_folder(folder) / f"{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name).strip('-')[-120:] or 'map'}.png"
    save_png(path, picture)
    return path
