"""Running the checks of SPEC against what was recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rsp_onnx.checks.spec.spec import Spec
from rsp_onnx.checks.subject.goldens import Goldens, read_goldens
from rsp_onnx.checks.subject.subject import THREADS, Subject, photo_digest
from rsp_onnx.errors import BadInput
from rsp_onnx.types import Progress

from .all_checks import ordered
from .base import Result, Status
from .recording import asked_for, read_spec


@dataclass(frozen=True)
class Report:
    """How all checks ended.

    Attributes
    ----------
    subject : Subject
        The model with its maps, for pictures.
    seconds : float
        The whole run took.
    """

    subject: Subject
    results: tuple[Result, ...]
    seconds: float

    @property
    def spec(self) -> Spec:
        """What was checked."""
        return self.subject.spec

    @property
    def failed(self) -> tuple[Result, ...]:
        """The checks that do not hold."""
        return tuple(r for r in self.results if r.status is Status.FAIL)

    @property
    def exit_code(self) -> int:
        """0 all hold, 1 a check failed."""
        return 1 if self.failed else 0


def check(
    path: str | Path, *, model: str | Path | None = None, preprocess: str | Path | None = None, device: str = "cpu",
    threads: int = THREADS, progress: Progress | None = None,
) -> Report:  # fmt: skip
    """Check a model against SPEC and its goldens.

    Parameters
    ----------
    path : path
        SPEC.
    model, preprocess : optional
        Used instead of SPEC's own: a candidate against what was recorded of the last release.
    threads : int
        Of ONNX Runtime. The same number gives the same figures to the last bit, on one kind of machine.
    progress : callable, optional
        Called with (checks done, checks in all).

    Raises
    ------
    BadInput
        SPEC has problems (all of them are listed), or the goldens were recorded for something else.
    """
    start = time.perf_counter()
    spec = read_spec(path, model, preprocess)
    goldens = read_goldens(spec.goldens)
    _verify(spec, goldens)
    subject = Subject(spec, goldens, device, threads)
    wanted = [(one, e) for one in ordered() if (e := spec.expect.get(one.name, True)) is not False]
    results = []
    for number, (one, expected) in enumerate(wanted):
        results.append(one.run(subject, expected))
        if progress is not None:
            progress(number + 1, len(wanted))
    return Report(subject, tuple(results), time.perf_counter() - start)


def _verify(spec: Spec, goldens: Goldens) -> None:
    """Compare what SPEC asks for with what was recorded; BadInput lists all that differs."""
    problems = [
        f"{spec.path}:{spec.line(key)}: {key} is {getattr(spec, key)!r}, recorded was {goldens.facts.get(key)!r}"
        for key in ("method", "section")
        if getattr(spec, key) != goldens.facts.get(key)
    ]
    recorded = goldens.facts.get("reading") or {}
    if dict(spec.reading) != recorded:
        problems.append(f"{spec.path}:1: the scores are read by {dict(spec.reading)}, recorded was {recorded}")
    for image in spec.images:
        golden, where = goldens.get(image.name), f"{spec.path}:{image.line}: {image.name}"
        if golden is None:
            problems.append(f"{where} was not recorded")
        elif golden.facts["sha256"] != photo_digest(image):
            problems.append(f"{where} is another photo than the recorded one")
        elif any(golden.facts[key] != value for key, value in asked_for(spec, image).items()):
            problems.append(f"{where} was recorded with another target or hostile class")
    if problems:
        head = f"{spec.path} and {spec.goldens} do not fit; record again on purpose with --update:"
        raise BadInput("\n  ".join([head, *(f"{p}." for p in problems)]))
