"""Checks of how the explanation behaves: it keeps its sum, depends on the weights, and stands still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.checks.subject.behaviour import last_layer_randomised, little_changes
from rsp_onnx.checks.subject.subject import DECIMALS, Subject, lost_share

from .base import Check, Finding, NotApplicable, register


@register
class Conservation(Check):
    """Relevance neither comes from nowhere nor goes there."""

    name = "conservation"
    group = "behaviour"
    says = "Nodes make or lose at most this share of the relevance (default: 0.5 above recorded)."
    direction = "lower"
    slack = 0.5
    bounds = (0.0, 1000.0)

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return the sum of what nodes made and lost per image."""
        if not find_method(subject.spec.method).conserves:
            raise NotApplicable(f"{subject.spec.method} is not made to keep the sum of relevance")
        note = "nodes make or lose more of the relevance"
        return [Finding.of(s, lost_share(s.explanation), note, s.recorded("lost")) for s in subject.shots]


@register
class Sanity(Check):
    """A map that the last layer's weights do not change explains something else."""

    name = "sanity"
    group = "behaviour"
    says = "With the last layer's weights drawn anew the map is another: mean |rank correlation| at most this."
    default = 0.9
    direction = "lower"

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return the mean over the first images; a single map may come out alike by chance."""
        reactions = last_layer_randomised(subject)
        if not reactions:
            raise NotApplicable("the model has no layer with weights")
        most = max(reactions, key=lambda r: r.value)
        mean = round(float(np.mean([r.value for r in reactions])), DECIMALS)
        return [Finding(most.shot.image.name, mean, note="the map does not depend on the last layer's weights")]


@register
class Stability(Check):
    """A photo that looks the same has the same map."""

    name = "stability"
    group = "behaviour"
    says = (
        "With little noise, shifted by two pixels or stored as JPEG, the map correlates with itself at least this much."
    )
    default = 0.8
    bounds = (-1.0, 1.0)

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a figure per change of the first images."""
        return [Finding.of(r.shot, r.value, f"the map changes with {r.what}") for r in little_changes(subject)]
