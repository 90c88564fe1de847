"""Checks of what an inference and an explanation take; figures of one kind of machine, so they only warn by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rsp_onnx.checks.subject.subject import Subject

from .base import Check, Finding, NotApplicable, register

_UNITS = {"ms": "ms", "mib": "MiB"}


class _Cost(Check):
    group = "costs"
    direction = "lower"
    warns = True
    bounds = (0.1, 1000.0)
    no_figures = "this system does not tell"
    keys: ClassVar[tuple[str, ...]] = ()

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return each figure as a multiple of the recorded one."""
        recorded = dict((subject.goldens.facts if subject.goldens else {}).get("costs", {}))
        if not any(key in recorded for key in self.keys):
            raise NotApplicable("no costs were recorded")
        if recorded.get("machine") != subject.machine:
            raise NotApplicable("recorded on another kind of machine")
        return [f for key in self.keys if (f := self._finding(key, subject.costs.get(key), recorded.get(key)))]

    def _finding(self, key: str, now: float | None, recorded: float | None) -> Finding | None:
        if not now or not recorded:
            return None
        what, _, unit = key.rpartition("_")
        note = f"{what} takes {now:g} {_UNITS[unit]}, recorded were {recorded:g}"
        return Finding(f"the {what}", round(now / recorded, 2), note=note)


@register
class Latency(_Cost):
    """Time."""

    name = "latency"
    says = "Inference and explanation take at most this multiple of the recorded time."
    default = 2.0
    keys = ("inference_ms", "explanation_ms")


@register
class Memory(_Cost):
    """Memory."""

    name = "memory"
    says = "The process needs at most this multiple of the recorded peak memory while it explains."
    default = 1.5
    keys = ("memory_mib",)
