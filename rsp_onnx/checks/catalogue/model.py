"""Checks of the model as a file: it can be explained, and it is fed and named as it was."""

from __future__ import annotations

from collections.abc import Sequence

from rsp_onnx.checks.subject.subject import Subject
from rsp_onnx.errors import BadModel

from .base import Check, Finding, NotApplicable, register

_VALUES = ("scale", "mean", "std")


@register
class Explainable(Check):
    """Every op has a rule, and every map says something."""

    name = "explainable"
    group = "model"
    says = "Every op on the way can be explained; no map is zero everywhere or not finite."

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return per image whether its map is finite and not zero."""
        return [
            Finding.of(
                shot, ok=shot.says_something,
                note="; ".join(shot.explanation.warnings) or "the map is zero everywhere or not finite",
            )
            for shot in subject.shots
        ]  # fmt: skip


@register
class Preprocessing(Check):
    """Photographs become tensors as they did."""

    name = "preprocessing"
    group = "model"
    says = "Photographs become tensors as when the goldens were recorded (of another input type: the same pixels)."
    needs_maps = False

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a finding per value that differs."""
        facts = subject.goldens.facts if subject.goldens else {}
        recorded = dict(facts.get("preprocessing", {}))
        now = {k: v for k, v in (subject.preprocessing or {}).items() if v is not None}
        if not recorded and not now:
            raise NotApplicable("no photograph is preprocessed")
        if facts.get("input_type") != subject.input_type:  # a quantised model scales within: scores and maps tell
            recorded, now = ({k: v for k, v in d.items() if k not in _VALUES} for d in (recorded, now))
        if "BGR" not in (recorded.get("channels"), now.get("channels")):  # RGB, or grey, is what is meant unsaid
            recorded.pop("channels", None)
            now.pop("channels", None)
        changed = [key for key in sorted({*recorded, *now}) if recorded.get(key) != now.get(key)]
        notes = [f"{key} is {now.get(key, 'not set')}, recorded was {recorded.get(key, 'not set')}" for key in changed]
        return [Finding(ok=not changed, note="; ".join(notes), line=subject.spec.line("preprocess"))]


@register
class Labels(Check):
    """Classes are called what they were called."""

    name = "labels"
    group = "model"
    says = "The recorded label of every target and predicted class still stands at the same index."
    needs_maps = False

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a finding per image, and one for the number of labels."""
        goldens = subject.goldens
        if goldens is None or (subject.labels is None and not goldens.facts["labelled"]):
            raise NotApplicable("there are no labels")
        line = subject.spec.line("labels")
        findings = [Finding(ok=True)]
        for golden in goldens.images:
            for index, label in ((golden.facts[k], golden.facts[f"{k}_label"]) for k in ("target", "predicted")):
                now = subject.label(index)
                note = f"class {index} is called {now!r}, recorded was {label!r}"
                findings.append(Finding(golden.name, ok=now == label, note=note, line=line))
        return [*findings, *_count(subject, line)]


def _count(subject: Subject, line: int) -> list[Finding]:
    try:
        classes = subject.classes
    except BadModel:  # then there are no scores to count
        return []
    if subject.labels is None or len(subject.labels) == classes:
        return []
    return [Finding(ok=False, note=f"there are {len(subject.labels)} labels for {classes} classes", line=line)]
