"""Checks of what the model says: its scores, and which class wins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsp_onnx.checks.subject.subject import DECIMALS, Shot, Subject
from rsp_onnx.inputs.classes import PRESENT, probabilities
from rsp_onnx.types import Array

from .base import Check, Finding, Result, Status, register

_TIE = 0.02  # of probability: classes nearer than that may change places


def compared(subject: Subject, shot: Shot) -> tuple[Array, Array, Array]:
    """Return (classes, their probabilities now, their recorded ones)."""
    assert shot.golden is not None
    classes = shot.golden.classes
    now = probabilities(shot.explanation.scores, subject.kind)[classes]
    return classes, now.astype(np.float64), shot.golden.scores.astype(np.float64)


@register
class Scores(Check):
    """Probabilities are what they were."""

    name = "scores"
    group = "scores"
    says = "No probability differs from the recorded one by more than this."
    default = 0.1
    direction = "lower"

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return the largest difference per image."""
        findings = []
        for shot in subject.shots:
            classes, now, before = compared(subject, shot)
            at = int(np.argmax(np.abs(now - before)))
            note = f"{subject.label(int(classes[at]))!r} has {now[at]:.3f}, recorded was {before[at]:.3f}"
            findings.append(Finding.of(shot, float(abs(now[at] - before[at])), note))
        return findings


@register
class Top1(Check):
    """The same class wins."""

    name = "top1"
    group = "scores"
    says = "The same class wins on this share of the images (of a multi-label model: the same classes are present)."
    default = 1.0

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return per image whether the winner, or what is present, is the same but for ties."""
        multiple = subject.kind == "sigmoid" and subject.classes > 1
        return [self._present(subject, s) if multiple else self._winner(subject, s) for s in subject.shots]

    def judge(self, findings: Sequence[Finding], explicit: float | None, line: int) -> Result:
        """Return the result: the share of images that hold decides."""
        share = round(sum(bool(f.ok) for f in findings) / len(findings), DECIMALS)
        limit = self.limit_of(findings[0], explicit)
        bad = tuple(f for f in findings if not f.ok)
        if not bad or (limit is not None and share >= limit):
            return Result(self, Status.PASS, self.says, share, limit, line=line)
        told = self._told(bad[0], len(bad), len(findings))
        return Result(self, Status.FAIL, told, share, limit, bad[0].image, bad, bad[0].line or line)

    def _winner(self, subject: Subject, shot: Shot) -> Finding:
        assert shot.golden is not None
        chance = probabilities(shot.explanation.scores, subject.kind)
        before, now = int(shot.golden.facts["predicted"]), shot.explanation.predicted
        same = before == now or float(chance[now] - chance[before]) <= _TIE
        note = f"{subject.label(now)!r} wins, recorded was {shot.golden.facts['predicted_label']!r}"
        return Finding.of(shot, ok=same, note=note)

    def _present(self, subject: Subject, shot: Shot) -> Finding:
        classes, now, before = compared(subject, shot)
        crossed = ((now > PRESENT) != (before > PRESENT)) & (np.abs(now - before) > _TIE)
        words = [f"{subject.label(int(c))!r} {'came' if now[i] > PRESENT else 'went'}"
                 for i, c in enumerate(classes) if crossed[i]]  # fmt: skip
        return Finding.of(shot, ok=not words, note=", ".join(words))
