"""The pointing game on SPEC's images and on its folder: how often the map's maximum hits the object."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rsp_onnx.checks.spec.places import Place
from rsp_onnx.checks.spec.spec import FolderSpec
from rsp_onnx.evaluate.datasets.annotated import BadItem
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.metrics.protocol import Truth

from .subject import DECIMALS, Subject


def pointing_rates(subject: Subject) -> dict[str, float]:
    """Return the share of hits on the images with a box or mask, and on the folder."""
    hits = {"images": [shot.is_hit for shot in subject.shots if shot.is_hit is not None]}
    if subject.spec.folder is not None:
        hits["folder"] = list(_folder_hits(subject, subject.spec.folder))
    return {name: round(float(np.mean(each)), DECIMALS) for name, each in hits.items() if each}


def _folder_hits(subject: Subject, folder: FolderSpec) -> Iterator[bool]:
    """Yield whether the map of every target of the first items hits; items that cannot be read are passed over."""
    dataset = open_dataset(
        folder.format, folder.data, mapping=folder.mapping, names=subject.labels, classes=subject.classes
    )
    for index in range(min(len(dataset), folder.limit)):
        try:
            item = dataset[index]
        except BadItem:
            continue
        places = {}
        feeds = subject.explainer.prepare(item.image)
        assert feeds.photo is not None
        for target in item.targets:
            truth = Truth(item, target, feeds.photo.size)
            inside = truth.boxes if truth.boxes is not None else truth.mask
            if inside is not None and inside.any():
                places[target] = Place(inside)
        if places:
            explanations = subject.explainer.explain_each([feeds], [list(places)], [[[] for _ in places]])[0]
            yield from (place.is_hit(one) for place, one in zip(places.values(), explanations, strict=True))
