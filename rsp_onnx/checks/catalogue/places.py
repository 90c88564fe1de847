"""Checks of where the relevance lies: in the object, on the background, and which sign a rival has there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rsp_onnx.checks.spec.places import Place
from rsp_onnx.checks.subject.pointing import pointing_rates
from rsp_onnx.checks.subject.subject import Shot, Subject
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.types import Array

from .base import Check, Finding, register


class _InPlace(Check):
    group = "places"
    note = ""
    no_figures = "no image has a box or mask"
    figure: Callable[[Place, Array], float]  # of the map on the photo

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a figure per image with a box or mask."""
        return [
            Finding.of(s, self.figure(s.place, s.explanation.heatmap_original), self.note, s.recorded(self.name))
            for s in subject.shots
            if s.place is not None
        ]


@register
class Inside(_InPlace):
    """Relevance on the object."""

    name = "inside"
    says = "At least this share of the positive relevance lies inside the box or mask (default: 0.1 below recorded)."
    note = "less of the positive relevance lies inside the box or mask"
    slack = 0.1
    figure = staticmethod(Place.share_inside)


@register
class Leakage(_InPlace):
    """Relevance on the background."""

    name = "leakage"
    says = "At most this share of the positive relevance lies on the background (default: 0.1 above recorded)."
    note = "more of the positive relevance lies on the background"
    direction = "lower"
    slack = 0.1
    figure = staticmethod(Place.leakage)


@register
class Pointing(Check):
    """The pointing game."""

    name = "pointing"
    group = "places"
    says = "The map's maximum hits the object on at least this share of images (default: 0.15 below recorded)."
    slack = 0.15
    no_figures = "no image has a box or mask, and there is no [folder]"

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return the rate on the images with a box or mask, and on [folder]."""
        recorded = subject.goldens.facts.get("pointing", {}) if subject.goldens else {}
        lines = {"images": 1, "folder": subject.spec.line("folder")}
        note = "the map's maximum hits the object less often"
        return [
            Finding(f"the {name}", rate, recorded.get(name), note=note, line=lines[name])
            for name, rate in pointing_rates(subject).items()
        ]


@register
class Hostile(Check):
    """A rival's relevance is negative where the target's is positive."""

    name = "hostile"
    group = "places"
    says = (
        "Asked the other way round, at least this share of what speaks for the target speaks against the hostile class."
    )
    default = 0.5
    no_figures = "no hostile class is named"

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a figure per image whose hostile class SPEC names."""
        note = "the target's evidence does not speak against the hostile class"
        return [Finding.of(s, _hostile_share(s, s.reverse), note) for s in subject.shots if s.reverse is not None]


def _hostile_share(shot: Shot, reverse: Explanation) -> float:
    """Return Σ [R]₊·1[R′<0] / Σ [R]₊ inside box or mask (else everywhere), R′ the map asked the other way round."""
    upper = np.maximum(shot.explanation.heatmap_original.astype(np.float64), 0)
    if shot.place is not None:
        upper = np.where(shot.place.inside, upper, 0)
    total = float(upper.sum())
    return float(upper[reverse.heatmap_original < 0].sum()) / total if total > 0 else 0.0
