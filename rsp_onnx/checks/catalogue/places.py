"""Checks of where the relevance lies: in the object, on the background, and which sign a rival has there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rsp_onnx.checks.spec.places import Place
from rsp_onnx.checks.spec.spec import FolderSpec
from rsp_onnx.checks.subject.subject import Shot, Subject
from rsp_onnx.evaluate.datasets.annotated import BadItem
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.metrics.protocol import Truth

from .base import PLACES, Check, Finding, NotApplicable, register


class _InPlace(Check):
    group = "places"
    note = ""

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a figure per image with a box or mask."""
        found = [
            Finding(s.image.name, self.figure(s, s.place), self._recorded(s), note=self.note, line=s.image.line)
            for s in subject.shots
            if s.place is not None
        ]
        if not found:
            raise NotApplicable("no image has a box or mask")
        return found

    def figure(self, shot: Shot, place: Place) -> float:
        """Return the figure of one image."""
        raise NotImplementedError

    def _recorded(self, shot: Shot) -> float | None:
        return None if shot.golden is None else shot.golden.facts.get(self.name)


@register
class Inside(_InPlace):
    """Relevance on the object."""

    name = "inside"
    says = "At least this share of the positive relevance lies inside the box or mask (default: 0.1 below recorded)."
    note = "less of the positive relevance lies inside the box or mask"
    slack = 0.1

    def figure(self, shot: Shot, place: Place) -> float:
        """Return the share inside."""
        return round(place.share_inside(shot.found.heatmap_original), PLACES)


@register
class Leakage(_InPlace):
    """Relevance on the background."""

    name = "leakage"
    says = "At most this share of the positive relevance lies on the background (default: 0.1 above recorded)."
    note = "more of the positive relevance lies on the background"
    direction = "lower"
    slack = 0.1

    def figure(self, shot: Shot, place: Place) -> float:
        """Return the share outside the box or mask grown by 3 % of the photo's shorter side."""
        return round(place.leakage(shot.found.heatmap_original), PLACES)


@register
class Pointing(Check):
    """The pointing game."""

    name = "pointing"
    group = "places"
    says = "The map's maximum hits the object on at least this share of images (default: 0.15 below recorded)."
    slack = 0.15

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return the rate on the images with a box or mask, and on [folder]."""
        rates = pointing_rates(subject)
        if not rates:
            raise NotApplicable("no image has a box or mask, and there is no [folder]")
        recorded = subject.goldens.facts.get("pointing", {}) if subject.goldens else {}
        lines = {"images": 1, "folder": subject.spec.line("folder")}
        note = "the map's maximum hits the object less often"
        return [
            Finding(f"the {name}", rate, recorded.get(name), note=note, line=lines[name])
            for name, rate in rates.items()
        ]


def pointing_rates(subject: Subject) -> dict[str, float]:
    """Return the share of hits on the images with a box or mask, and on the folder."""
    hits = {
        "images": [s.place.is_hit(s.found) for s in subject.shots if s.place is not None and s.found.heatmap.ndim == 2]
    }
    if subject.spec.folder is not None:
        hits["folder"] = list(_folder_hits(subject, subject.spec.folder))
    return {name: round(float(np.mean(each)), PLACES) for name, each in hits.items() if each}


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
            found = subject.explainer.explain_each([feeds], [list(places)], [[[] for _ in places]])[0]
            yield from (place.is_hit(one) for place, one in zip(places.values(), found, strict=True))


@register
class Hostile(Check):
    """A rival's relevance is negative where the target's is positive."""

    name = "hostile"
    group = "places"
    says = (
        "Asked the other way round, at least this share of what speaks for the target speaks against the hostile class."
    )
    default = 0.5

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a figure per image whose hostile class SPEC names."""
        found = [
            Finding(s.image.name, hostile_share(s), line=s.image.line,
                    note="the target's evidence does not speak against the hostile class")
            for s in subject.shots if s.reverse is not None
        ]  # fmt: skip
        if not found:
            raise NotApplicable("no hostile class is named")
        return found


def hostile_share(shot: Shot) -> float:
    """Return Σ [R]₊·1[R′<0] / Σ [R]₊ inside box or mask (else everywhere), R′ the map asked the other way round."""
    assert shot.reverse is not None
    there, back = shot.found.heatmap_original, shot.reverse.heatmap_original
    upper = np.maximum(there.astype(np.float64), 0)
    if shot.place is not None:
        upper = np.where(shot.place.inside, upper, 0)
    total = float(upper.sum())
    return round(float(upper[back < 0].sum()) / total, PLACES) if total > 0 else 0.0
